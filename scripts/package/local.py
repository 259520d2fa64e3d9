"""The local server: a folder that any machine with Python serves, by `python server.py`.

requirements.txt pins all that an installation brings in, with markers, so that the folder is for
each Python alike.
"""

from __future__ import annotations

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.layout import Entry, PackageLayout, PackageRequest, host_entries

_REQUIREMENTS = """\
# In this folder, in an environment of its own: pip install -r requirements.txt && python server.py
"""
_SERVER = ("fastapi", "uvicorn")


def entries(request: PackageRequest) -> list[Entry]:
    """server.py, model/, the scoring core and requirements.txt."""
    return [
        *host_entries(request, "local", model="model/", code=""),
        Entry("requirements.txt", requirements(request.model.libraries).encode()),
    ]


def requirements(libraries: tuple[str, ...]) -> str:
    """The text of requirements.txt: exact pins with their markers."""
    names = pins.with_closure(["numpy", "onnxruntime", *libraries, *_SERVER])
    return _REQUIREMENTS + "".join(f"{line}\n" for line in pins.lines(names))


LAYOUT = PackageLayout(
    target="local",
    file="package",
    write=write_folder,
    entries=entries,
    pythons=("3.12", "3.10", "3.11", "3.13"),
    # No limit but the machine's own.
)
