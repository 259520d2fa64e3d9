"""The same function with PyTorch, built as one publishes it: pip installs below .python_packages,
and all of it goes into a zip.

    python -m examples.functions.build FOLDER

takes 900 MB there. The zip is weighed and not kept; the folder is what the worker is started on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scripts.package.archive import write_zip
from onnxferry.scripts.package.layout import Entry
from onnxferry.scripts.rehearse import find_python

HERE = Path(__file__).parent
APP = HERE / "torch_app"
LABELS = HERE.parent / "imagenet" / "labels.txt"
HOST_JSON = HERE.parents[1] / "targets" / "functions" / "wwwroot" / "host.json"
PYTHON = "3.11"  # the platform's versions for which the index has PyTorch for CPUs alone
LIBRARIES = ".python_packages/lib/site-packages"
# Their byte code is valid by itself, since an archive may change the times of files
_COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")


@dataclass(frozen=True)
class App:
    """A function app in `folder`, unpacked, for `python`; `size` of its zip in bytes."""

    name: str
    folder: Path
    size: int
    python: str = PYTHON


def build(folder: Path, install: Callable[[Path, Path], None] | None = None) -> App:
    """The app in `folder`, with labels, host.json and the libraries of its requirements.txt (which
    `install` puts into a folder), unless it is there already, whole."""
    made = folder.with_name(f"{folder.name}.json")
    if not made.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in (APP / "function_app.py", LABELS, HOST_JSON):
            shutil.copy(file, folder)
        (install or _install)(folder / LIBRARIES, APP / "requirements.txt")
        made.write_text(json.dumps({"size": _zipped(folder)}), encoding="utf-8")
    return App("PyTorch", folder, json.loads(made.read_text(encoding="utf-8"))["size"])


def _install(libraries: Path, requirements: Path) -> None:
    python = find_python(PYTHON)
    if python is None:
        sys.exit(f"python{PYTHON} is not installed, for which this function's libraries are")
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "--target", str(libraries)]
    runs_here = f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON
    pip = [sys.executable if runs_here else str(python), *install, "-r", str(requirements)]
    subprocess.run(pip, check=True)
    # not all: torch has a file for later Pythons alone
    subprocess.run([python, *_COMPILE, libraries], check=False)


def _zipped(folder: Path) -> int:
    """The bytes of a zip of all files in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    packed = folder.with_suffix(".zip")
    try:
        write_zip([Entry(path.relative_to(folder).as_posix(), path) for path in files], packed)
        return packed.stat().st_size
    finally:
        packed.unlink(missing_ok=True)


if __name__ == "__main__":
    built = build(Path(sys.argv[1]))
    sys.stdout.write(f"{built.folder}: {built.size / 1e6:.0f} MB as a zip\n")
