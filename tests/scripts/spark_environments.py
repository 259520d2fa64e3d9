"""Environments for Spark and Ray that are not the project's own, made once and kept in the user's
cache: another version, a client of Spark Connect, a worker that has not this project."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from onnxferry.scripts.package import pins
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.cache import cache_folder

_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
_PINNED = ("numpy", "onnxruntime", "tokenizers", "pyarrow")
_DRIVER = (
    *("click", "filelock", "httpx", "packaging", "pandas", "platformdirs", "psutil", "pydantic"),
    *("PyYAML", "rich", "onnx"),
)
ADDED = {
    "worker": (),
    "3.5": ("pyspark==3.5.9", *_DRIVER),
    "connect": ("pyspark[connect]==4.3.0", *_DRIVER),
    "ray": ("ray[data]==2.60.0", *_DRIVER),
}


def python(name: str) -> Path:
    """The interpreter of one of ADDED, with what scores a text besides."""
    pinned = tuple(f"{package}=={pins.version(package, _HERE)}" for package in _PINNED)
    install = Install((*pinned, *ADDED[name]))
    made = environment(
        f"score-{name}", Path(sys.executable), (install,), cache_folder(), lambda _: nullcontext()
    )
    return made / "bin" / "python"
