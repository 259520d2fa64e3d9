"""Azure Functions: function.zip as One Deploy publishes it without a remote build.

<<<<<<< HEAD
host.json and function_app.py are at its root, what scoring imports where the worker looks for it.
The platform mounts it read-only, so its modules are compiled, and nothing else imports its
libraries, so they are slimmer than where an image has some of its own.
=======
What targets/functions/wwwroot/ holds is at its root; what scoring imports is where the worker looks
for it, and the page of /api/docs where the local server has it.
>>>>>>> core
"""

from __future__ import annotations

<<<<<<< HEAD
import re
from typing import Any
=======
from dataclasses import dataclass
from pathlib import Path
>>>>>>> core

from onnxferry import targets
from onnxferry.scripts.package import core_tools, wheels
from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import Entry, PackageLayout, tree
from onnxferry.scripts.package.model import CheckedModel
<<<<<<< HEAD
from onnxferry.scripts.package.slim import slimmed
=======
>>>>>>> core

SITE_PACKAGES = ".python_packages/lib/site-packages/"

# what the app imports besides scoring; azure-functions imports werkzeug, and that markupsafe
LIBRARIES = ("azure-functions", "werkzeug", "markupsafe")

<<<<<<< HEAD
# Tools, tests, and Pillow's formats that scoring refuses (scoring/images.py).
_UNUSED = r"""
    ^numpy/(f2py|testing)/ | ^numpy/_core/(_simd|_\w+_tests)\. | (^|/)tests/
    | ^numpy/ma/(testutils|timer_comparison)\.py
    | ^PIL/(?!(Bmp|Gif|Jpeg|Mpo|Png|Ppm|Tiff|WebP)Image)\w+(Image|Stub)Plugin\.
    | ^PIL/(Image(Cms|Grab|Qt|Tk|Win)|\w*FontFile|P(DF|S|df)\w+|report|_tkinter_finder|__main__)\.py
    | ^werkzeug/(debug|middleware|routing|testapp|_reloader)
"""
# Parts of numpy that no task of scoring uses; a custom task may.
_CUSTOM_ONLY = r" | ^numpy/(fft|polynomial|random)/"


def libraries(model: CheckedModel, **source: Any) -> list[Entry]:
    """The libraries, from `source` as wheels.brought has it."""
    from onnxferry.scoring.tasks.custom import PREFIX  # imports onnxruntime

    rules = _UNUSED if model.spec.task.startswith(PREFIX) else _UNUSED + _CUSTOM_ONLY
    dropped = re.compile(rules, re.VERBOSE)
    made = [
        slimmed(folder, dropped, model.compiler)
        for folder in wheels.folders(model, LIBRARIES, **source)
    ]
    return [entry for folder in made for entry in tree(folder, SITE_PACKAGES, compiled=True)]


LAYOUT = PackageLayout(
    target="functions",
    file="function.zip",
    write=write_zip,
    added=libraries,
    compiled=True,
=======
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
>>>>>>> core
    # "Run your functions from a package file" takes 1 GB, and unpacks it to temporary storage, of
    # which Flex Consumption has 0.8 GB ("Azure Functions scale and hosting", service limits)
    packed=1_000_000_000,
    unpacked=800_000_000,
)
