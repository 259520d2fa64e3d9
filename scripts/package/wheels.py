"""Linux wheels for a Python that need not be this one: fetched by pip, slimmed, and kept in a cache
by their content.

What is dropped is never imported where a model is served: tests, type stubs, C headers and static
libraries, onnxruntime's tools and the second copy of its library, parts of Pillow. Licences stay,
and the metadata by which importlib.metadata knows a version. test_package_functions.py imports and
runs what is left.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from onnxferry.scripts.package.archive import replacing
from onnxferry.system.cache import cache_folder
from onnxferry.system.errors import PackageError

# glibc 2.28 is older than that of every image that Functions runs Python 3.10 or newer on.
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)),
    "manylinux2014_x86_64",
)
_PIP = "pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all:"

_DROPPED = re.compile(
    r"""
    (^|/)(tests?|_pyinstaller|__pycache__)/ | \.(pyi|pyc|pxd|a|h|c|pyx|typed|in)$
    | ^onnxruntime/(tools|transformers|quantization|datasets|backend)/
    | ^onnxruntime/capi/libonnxruntime\.so
    | ^numpy/(f2py|typing/tests|conftest\.py|_core/include)
    | ^PIL/_(avif|imagingft|imagingcms|imagingtk)\.
    | ^pillow\.libs/lib(avif|freetype|harfbuzz|lcms2|brotli|png16)
    | \.dist-info/(RECORD|WHEEL|INSTALLER|top_level\.txt|entry_points\.txt|zip-safe|sboms/)
    """,
    re.VERBOSE,
)


def fetch(requirements: Sequence[str], python: str) -> list[Path]:
    """A folder for each of `requirements` ("numpy==2.2.6") with its slimmed files for Linux and
    Python `python`.

    Raises PackageError with pip's words when a wheel cannot be had.
    """
    folders = {requirement: _folder(requirement, python) for requirement in requirements}
    if missing := [r for r, folder in folders.items() if not folder.is_dir()]:
        with tempfile.TemporaryDirectory() as scratch:
            _download(missing, python, Path(scratch))
            found = {parse_wheel_filename(p.name)[0]: p for p in Path(scratch).glob("*.whl")}
            for requirement in missing:
                # another process may have been sooner, and reads it now
                if not folders[requirement].is_dir():
                    wheel = found[canonicalize_name(Requirement(requirement).name)]
                    _unpack(wheel, folders[requirement])
    return list(folders.values())


def _folder(requirement: str, python: str) -> Path:
    """The cache's place for a requirement; another rule of what to drop makes another place."""
    made_of = "\n".join((requirement, python, *_PLATFORMS, _DROPPED.pattern))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return cache_folder() / "wheels" / f"{requirement.replace('==', '-')}-py{python}-{key}"


def _download(requirements: Sequence[str], python: str, folder: Path) -> None:
    host = ["--implementation", "cp", "--python-version", python]
    host += [word for name in _PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", *_PIP.split(), *host, "--dest", str(folder), *requirements]
    # the folder goes away with what pip left there, even if pip is killed
    scratch = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=scratch)
    if done.returncode:
        said = "\n".join(x for x in done.stderr.splitlines() if not x.startswith("WARNING"))
        raise PackageError(
            f"pip could not download Linux wheels for Python {python} of"
            f" {', '.join(requirements)}:\n{said[-2000:].strip()}\nCheck the network and pip's"
            " index settings, and that pins.txt names versions with such wheels"
        )


def _unpack(wheel: Path, folder: Path) -> None:
    with replacing(folder) as fresh, zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name[-1] != "/"]
        kept = [name for name in names if not _DROPPED.search(name)]
        if odd := [name for name in kept if ".data/" in name]:
            raise PackageError(
                f"{wheel.name}: {odd[0]} would be installed elsewhere than site-packages; not"
                " supported"
            )
        archive.extractall(fresh, kept)
