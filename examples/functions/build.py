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
    """A function app in `folder`, unpacked; `size` of its zip in bytes."""

    name: str
    folder: Path
    size: int


def build(folder: Path, source: Path = APP, files: tuple[Path, ...] = (LABELS, HOST_JSON)) -> App:
    """The app of `source` with the libraries of its requirements.txt and `files`, in `folder`,
    unless it is there already, whole."""
    made = folder.with_name(f"{folder.name}.json")
    if not made.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in (*source.glob("*.py"), *files):
            shutil.copy(file, folder)
        _install(folder / LIBRARIES, source / "requirements.txt")
        made.write_text(json.dumps({"size": _zipped(folder)}), encoding="utf-8")
    return App("PyTorch", folder, json.loads(made.read_text(encoding="utf-8"))["size"])


def _install(libraries: Path, requirements: Path) -> None:
    python = find_python(PYTHON)
    if python is None:
        sys.exit(f"python{PYTHON} is not installed, for which this function's libraries are")
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "--target", libraries]
    pip = [sys.executable if PYTHON in sys.version else python, *install, "-r", requirements]
    subprocess.run(pip, check=True)
    subprocess.run([python, *_COMPILE, libraries], check=False)  # some have templates named .py


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
