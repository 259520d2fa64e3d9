"""The local server: the package's own server.py, in an environment of its own requirements.txt."""

from __future__ import annotations

import shutil
from pathlib import Path

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import Install, Runtime, UnpackedPackage, listed


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = root / "package"
    shutil.copytree(package.path, app)
    return UnpackedPackage(root, app, app / "model")


RUNTIME = Runtime(
    title="the local server",
    health="/ping",
    score="/score",
    launcher="local_server.py",
    unpack=_unpack,
    installs=lambda unpacked, python: (Install(listed(unpacked.app / "requirements.txt")),),
    arguments=lambda unpacked, port: (str(unpacked.app / "server.py"), "--port", str(port)),
)
