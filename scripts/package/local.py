"""The local server: a folder that any machine with Python serves, by `python server.py`."""

from __future__ import annotations

from onnxferry.scripts.package import pins, wheels
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.layout import Entry, PackageLayout, pipelines
from onnxferry.scripts.package.model import CheckedModel

SERVER = ("fastapi", "httptools", "prometheus-client", "pyyaml", "uvicorn", "uvloop")
_HEAD = """\
# In this folder, in an environment of its own: pip install -r requirements.txt && python server.py
"""
_PROGRAM = '''\
"""Serves the model in the folder 'model' beside this file: python server.py --help"""

from pathlib import Path

from onnxferry.targets.local.command import program

if __name__ == "__main__":
    program(Path(__file__).parent / "model")()
'''


def added(model: CheckedModel) -> list[Entry]:
    """server.py, requirements.txt and DeepSparse's names."""
    text = requirements(model.libraries)
    own = [Entry("server.py", _PROGRAM.encode()), Entry("requirements.txt", text.encode())]
    return [*own, *pipelines()]


def requirements(libraries: tuple[str, ...]) -> str:
    """The text of requirements.txt: all that an installation brings in, pinned for each Python."""
    names = pins.with_closure([*wheels.SCORING, *libraries, *SERVER])
    return _HEAD + pins.lines(names)


LAYOUT = PackageLayout(
    target="local",
    file="package",
    write=write_folder,
    added=added,
    adapter="onnxferry/targets/local/",
)
