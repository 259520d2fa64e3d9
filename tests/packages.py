"""Packages that are quick to build: without libraries, or with small wheels that are made here."""

from __future__ import annotations

import os
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from onnxferry.scripts.package import Package, layout_of, package, pins
from onnxferry.scripts.package.archive import write_tar_gz, write_zip
from onnxferry.scripts.package.layout import PackageLayout
from onnxferry.system.hashes import sha256
from tests import tiny

LINUX = "manylinux_2_17_x86_64.manylinux2014_x86_64"
WHEELS = {  # distribution -> the wheel's tag for Python 3.12, and its files
    "numpy": (
        f"cp312-cp312-{LINUX}",
        ["numpy/__init__.py", "numpy/tests/test_x.py", "numpy/_core/include/x.h", "numpy/x.pyi"],
    ),
    "onnxruntime": (
        "cp312-cp312-manylinux_2_28_x86_64",
        [
            "onnxruntime/capi/state.so",
            "onnxruntime/capi/libonnxruntime.so.1",
            "onnxruntime/tools/x.py",
        ],
    ),
    "tokenizers": (f"cp39-abi3-{LINUX}", ["tokenizers/__init__.py"]),
    "azure-functions": ("py3-none-any", ["azure/functions/__init__.py"]),
    "werkzeug": ("py3-none-any", ["werkzeug/__init__.py"]),
    "markupsafe": (f"cp312-cp312-{LINUX}", ["markupsafe/__init__.py"]),
}


def quiet(title: str) -> nullcontext[None]:
    return nullcontext()


def bare(target: str) -> PackageLayout:
    """The layout of a target without its libraries, which take seconds to fetch and to pack."""
    return replace(layout_of(target), added=lambda model: [])


def quick(target: str, image: str = "") -> PackageLayout:
    """The layout of a target, whose archive is not compressed, which takes seconds."""
    layout = layout_of(target, image)
    write: Any = layout.write
    if write in (write_tar_gz, write_zip):
        return replace(layout, write=partial(write, level=0))
    return layout


def make_index(folder: Path) -> Path:
    """A folder of wheels that is all that pip finds."""
    folder.mkdir()
    for distribution, (tag, files) in WHEELS.items():
        make_wheel(folder, distribution, tag, files)
    return folder


def make_wheel(folder: Path, name: str, tag: str, files: list[str]) -> Path:
    version, escaped = pins.version(name, "3.12"), name.replace("-", "_")
    about = f"{escaped}-{version}.dist-info"
    path = folder / f"{escaped}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in files:
            wheel.writestr(file, f"# {file}")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"{about}/licenses/LICENSE", "free")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def write_hashes(index: Path) -> Path:
    """What hashes.txt would say of the wheels in `index`, beside it."""
    lines = []
    for path in index.iterdir():
        name = path.name.partition("-")[0].replace("_", "-")
        lines.append(f"{name}=={pins.version(name, '3.12')} --hash=sha256:{sha256(path)}")
    file = index.parent / "hashes.txt"
    file.write_text("\n".join(lines))
    return file


def build(
    index: Path, layout: PackageLayout, out: str = "out", cache: str = "cache", **more: Any
) -> Package:
    """A tiny model's package, or that of `model`, of the wheels in `index`; it, the cache and the
    hashes lie beside `index`."""
    here = index.parent
    environ = {
        **os.environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "ONNXFERRY_CACHE": str(here / cache),
    }
    if not (here / "hashes.txt").exists():
        write_hashes(index)
    source: Any = {"environ": environ, "hashes": here / "hashes.txt"}
    added = partial(layout.added, **source)
    model = more.pop("model", None) or tiny.question_answering(here / "model")
    options = {"python": "3.12", "report": quiet, **more}
    return package(model, replace(layout, added=added), out=here / out, **options)
