"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

What targets/functions/wwwroot/ holds is at its root; what scoring imports is where the worker looks
for it, and the page of /api/docs where the local server has it. The platform mounts all of it
read-only, so its modules are compiled; and nothing else imports its libraries, so that they are
slimmer than where an image has some of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry import targets
from onnxferry.scripts.package import bytecode, core_tools, slim
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.bytecode import Compiler
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
    """The files of targets/functions/ with those of its wwwroot/ at the root, and the byte code of
    our modules."""

    def entries(self, model: CheckedModel) -> list[Entry]:
        """See PackageLayout."""
        found = super().entries(model)
        placed = [Entry(entry.path.removeprefix(_ROOT), entry.source) for entry in found]
        return [*placed, *_compiled(placed, model.compiler)]


def _compiled(entries: Sequence[Entry], compiler: Compiler | None) -> list[Entry]:
    own = [entry for entry in entries if not entry.path.startswith(SITE_PACKAGES)]
    sources = {entry.path: entry.read() for entry in own if entry.path.endswith(".py")}
    made = bytecode.beside_sources(sources, compiler) if compiler else {}
    return [Entry(path, content) for path, content in made.items()]


def added(model: CheckedModel, **source: Any) -> list[Entry]:
    """What Core Tools and the page of /api/docs need, and the libraries, from `source` as
    slim.brought has it."""
    page = tree(_PAGE, f"{_TARGETS}local/static/")
    libraries = slim.brought(model, SITE_PACKAGES, LIBRARIES, alone=True, **source)
    return [*core_tools.files(model), *page, *libraries]


LAYOUT = FunctionsLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    added=added,
    adapter=f"{_TARGETS}functions/",
    compiled=True,
    # "Run your functions from a package file" takes 1 GB, and unpacks it to temporary storage, of
    # which Flex Consumption has 0.8 GB ("Azure Functions scale and hosting", service limits)
    packed=1_000_000_000,
    unpacked=800_000_000,
)
