"""The libraries that a package brings: Linux wheels for any Python, fetched by pip, held to the
hashes of hashes.txt, without what serving a model never imports, and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.system.cache import cache_folder
from onnxferry.system.errors import PackageError
from onnxferry.system.files import replacing

# numpy and onnxruntime; what onnxruntime itself asks for serves its tools, and a session imports
# none of it
SCORING = ("numpy", "onnxruntime")

# from glibc 2.28, older than that of every image of the platforms that has Python 3.10 or newer
_LINUX = [*(f"manylinux_2_{n}_x86_64" for n in range(28, 16, -1)), "manylinux2014_x86_64"]
_PIP = "pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all:"

# Where an image has the library too, its own software imports this one in its place: scipy asks for
# all of numpy's public modules, and numpy.testing for a file of the tests.
_DROPPED = re.compile(
    r"""
    (^|/)(tests?/(?!_natype\.py)|_pyinstaller/|__pycache__/) | \.(pyi|pyc|pxd|a|h|c|pyx|typed|in)$
    | ^onnxruntime/(tools|transformers|quantization|datasets|backend)/
    | ^onnxruntime/capi/libonnxruntime\.so
    | ^numpy/(conftest\.py|_core/include)
    | ^PIL/_(avif|imagingft|imagingcms|imagingtk)\.
    | ^pillow\.libs/lib(avif|freetype|harfbuzz|lcms2|brotli|png16)
    | \.dist-info/(RECORD|WHEEL|INSTALLER|top_level\.txt|entry_points\.txt|zip-safe|sboms/)
    """,
    re.VERBOSE,
)


def folders(
    model: CheckedModel,
    further: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    hashes: Path = pins.HASHES,
) -> list[Path]:
    """The folders of what scoring imports for `model`, and of `further` distributions. pip fetches
    them in `environ`; `hashes` is the file that says what they may be."""
    wanted = pins.select((*SCORING, *model.libraries, *further), model.python)
    return fetch(pins.hashed(wanted, hashes), model.python, environ)


def fetch(requirements: Sequence[str], python: str, environ: Mapping[str, str]) -> list[Path]:
    """A folder for each of `requirements` ("numpy==2.2.6 --hash=sha256:...") with its slimmed files
    for Linux and Python `python`. Raises PackageError with pip's words when a wheel cannot be
    had."""
    cache = cache_folder(environ) / "wheels"
    folders = {requirement: cache / _folder(requirement, python) for requirement in requirements}
    if missing := [r for r, folder in folders.items() if not folder.is_dir()]:
        with tempfile.TemporaryDirectory() as scratch:
            download(missing, python, {**environ, "TMPDIR": scratch})
            found = {parse_wheel_filename(p.name)[0]: p for p in Path(scratch).glob("*.whl")}
            for requirement in missing:
                wheel = found[canonicalize_name(requirement.partition("==")[0])]
                _unpack(wheel, folders[requirement])
    return list(folders.values())


def _folder(requirement: str, python: str) -> str:
    """The cache's folder for a requirement; another rule of what to drop makes another."""
    made_of = "\n".join((requirement, python, *_LINUX, _DROPPED.pattern))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return f"{_pin(requirement).replace('==', '-')}-py{python}-{key}"


def _pin(requirement: str) -> str:
    return requirement.partition(" ")[0]


def download(requirements: Sequence[str], python: str, env: Mapping[str, str]) -> None:
    """The wheels into TMPDIR of `env`, where pip's own files are too, even if it is killed. Where
    one requirement has hashes, pip asks for them of all."""
    host = ["--implementation", "cp", "--python-version", python]
    host += [word for name in _LINUX for word in ("--platform", name)]
    listed = Path(env["TMPDIR"]) / "requirements.txt"
    listed.write_text("\n".join(requirements), encoding="utf-8")
    host += ["--dest", env["TMPDIR"], "--requirement", str(listed)]
    command = [sys.executable, "-m", *_PIP.split(), *host]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        said = "\n".join(x for x in done.stderr.splitlines() if not x.startswith("WARNING"))
        raise PackageError(
            f"no Linux wheels for Python {python} of {', '.join(map(_pin, requirements))}; pip"
            f" says:\n{said[-2000:].strip()}\nCheck the network, pip's index settings, pins.txt"
            " and hashes.txt"
        )


def _unpack(wheel: Path, folder: Path) -> None:
    if folder.is_dir():  # another process was sooner, and reads it now
        return
    with replacing(folder) as fresh, zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name[-1] != "/"]
        kept = [name for name in names if not _DROPPED.search(name)]
        if odd := [name for name in kept if ".data/" in name]:
            where = "would be installed elsewhere than site-packages"
            raise PackageError(f"{wheel.name}: {odd[0]} {where}")
        archive.extractall(fresh, kept)
