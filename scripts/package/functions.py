"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

host.json and function_app.py are at its root, what scoring imports where the worker looks for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from onnxferry.scripts.package import pins, wheels
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import Entry, PackageLayout, tree
from onnxferry.scripts.package.model import CheckedModel

_SITE_PACKAGES = ".python_packages/lib/site-packages/"

# azure-functions imports werkzeug, which imports markupsafe. onnxruntime's own requirements serve
# its tools; a session imports none of them.
_DEPENDENCIES = ("numpy", "onnxruntime", "azure-functions", "werkzeug", "markupsafe")


def added(model: CheckedModel, environ: Mapping[str, str] = os.environ) -> list[Entry]:
    """The dependencies, as wheels that pip fetches in `environ`."""
    wanted = pins.select((*_DEPENDENCIES, *model.libraries), model.python)
    folders = wheels.fetch(wanted, model.python, environ)
    return [entry for folder in folders for entry in tree(folder, _SITE_PACKAGES)]


LAYOUT = PackageLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    added=added,
    # "Run your functions from a package file" takes 1 GB, and unpacks it to temporary storage, of
    # which Flex Consumption has 0.8 GB ("Azure Functions scale and hosting", service limits)
    packed=1_000_000_000,
    unpacked=800_000_000,
)
