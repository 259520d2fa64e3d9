"""The local server: a folder that any machine with Python serves, by `python server.py`."""

from __future__ import annotations

from onnxferry.scripts.package import pins, wheels
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel

_HEAD = """\
# In this folder, in an environment of its own: pip install -r requirements.txt && python server.py
"""


def added(model: CheckedModel) -> list[Entry]:
    """requirements.txt."""
    return [Entry("requirements.txt", requirements(model.libraries).encode())]


def requirements(libraries: tuple[str, ...]) -> str:
    """The text of requirements.txt: all that an installation brings in, pinned for each Python."""
    names = pins.with_closure([*wheels.SCORING, *libraries, "fastapi", "uvicorn"])
    return _HEAD + pins.lines(names)


LAYOUT = PackageLayout(target="local", file="package", write=write_folder, added=added)
