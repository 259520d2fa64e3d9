"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

What targets/functions/wwwroot/ holds is at its root; what scoring imports is where the worker looks
for it, and the page of /api/docs where the local server has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxferry import targets
from onnxferry.scripts.package import core_tools, wheels
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import Entry, PackageLayout, tree
from onnxferry.scripts.package.model import CheckedModel

SITE_PACKAGES = ".python_packages/lib/site-packages/"

# what the app imports besides scoring; azure-functions imports werkzeug, and that markupsafe
LIBRARIES = ("azure-functions", "werkzeug", "markupsafe")

_TARGETS = "onnxferry/targets/"
_ROOT = f"{_TARGETS}functions/wwwroot/"
_PAGE = Path(targets.__file__).parent / "local" / "static"


@dataclass(frozen=True)
class FunctionsLayout(PackageLayout):
    """The files of targets/functions/ with those of its wwwroot/ at the root."""

    def entries(self, model: CheckedModel) -> list[Entry]:
        """See PackageLayout."""
        found = super().entries(model)
        return [Entry(entry.path.removeprefix(_ROOT), entry.source) for entry in found]


def added(model: CheckedModel, **source: object) -> list[Entry]:
    """What Core Tools and the page of /api/docs need, and the libraries, from `source` as
    wheels.brought has it."""
    libraries = wheels.brought(model, SITE_PACKAGES, LIBRARIES, **source)  # type: ignore[arg-type]
    return [*core_tools.files(model), *tree(_PAGE, f"{_TARGETS}local/static/"), *libraries]


LAYOUT = FunctionsLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    added=added,
    adapter=f"{_TARGETS}functions/",
    # "Run your functions from a package file" takes 1 GB, and unpacks it to temporary storage, of
    # which Flex Consumption has 0.8 GB ("Azure Functions scale and hosting", service limits)
    packed=1_000_000_000,
    unpacked=800_000_000,
)
