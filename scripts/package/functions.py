"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

host.json and function_app.py are at its root, and the dependencies, as Linux wheels for the app's
Python, are where the Python worker looks for them. Only what scoring imports is in it, without the
parts that a host never runs (wheels.py).
"""

from __future__ import annotations

from onnxferry.scripts.package import pins, wheels
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import (
    Entry,
    Limit,
    PackageLayout,
    PackageRequest,
    host_entries,
    tree,
)

_SITE_PACKAGES = ".python_packages/lib/site-packages/"

# azure-functions imports werkzeug, which imports markupsafe. onnxruntime's own requirements
# (protobuf, flatbuffers, packaging, sympy) serve its tools; a session imports none of them.
_DEPENDENCIES = ("numpy", "onnxruntime", "azure-functions", "werkzeug", "markupsafe")


def entries(request: PackageRequest) -> list[Entry]:
    """The app's files at the root, model/, and the dependencies."""
    return [
        *host_entries(request, "functions", model="model/", code=""),
        *_dependency_entries(request),
    ]


def _dependency_entries(request: PackageRequest) -> list[Entry]:
    wanted = pins.select((*_DEPENDENCIES, *request.model.libraries), request.python)
    with request.report(f"wheels for Linux and Python {request.python}"):
        folders = wheels.fetch(wanted, request.python)
    return [entry for folder in folders for entry in tree(folder, _SITE_PACKAGES)]


LAYOUT = PackageLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    entries=entries,
    pythons=("3.12", "3.10", "3.11", "3.13"),
    # "Run your functions from a package file": a package is at most 1 GB and is unpacked to
    # temporary storage, which is 0.8 GB on Flex Consumption ("Azure Functions scale and hosting",
    # service limits).
    limit=Limit(packed=1_000_000_000, unpacked=800_000_000),
)
