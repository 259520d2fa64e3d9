"""The local server: the package's own server.py, in an environment of its own requirements.txt."""

from __future__ import annotations

import shutil
from pathlib import Path

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import Runtime, UnpackedPackage, listed


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = shutil.copytree(package.path, root / "package")
    return UnpackedPackage(root, app, app / "model")


RUNTIME = Runtime(
    title="the local server",
    health="/ping",
    score="/score",
    unpack=_unpack,
    installs=lambda unpacked, python: (listed(unpacked.app / "requirements.txt"),),
    command=lambda unpacked, port: (unpacked.app / "server.py", "--port", port),
)
