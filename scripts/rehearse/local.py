"""The local server: the package's own server.py, in an environment of its own requirements.txt."""

from __future__ import annotations

import shutil
from pathlib import Path

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import Install, Runtime, UnpackedPackage, listed
from onnxferry.system.errors import RehearsalError


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = root / "package"
    try:
        shutil.copytree(package.path, app)
    except OSError as e:
        raise RehearsalError(
            f"{package.path}: not a package of the local server ({e}); build it again"
        ) from e
    return UnpackedPackage(root, app, app / "model")


def _installs(unpacked: UnpackedPackage, python: str) -> tuple[Install, ...]:
    requirements = unpacked.app / "requirements.txt"
    if not requirements.is_file():
        raise RehearsalError("requirements.txt is not in the package; build it again")
    return (Install(listed(requirements)),)


RUNTIME = Runtime(
    title="the local server",
    health="/ping",
    score="/score",
    launcher="local_server.py",
    unpack=_unpack,
    installs=_installs,
    arguments=lambda unpacked, port: (str(unpacked.app / "server.py"), "--port", str(port)),
)
