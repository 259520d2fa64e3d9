"""The local server: the package's own server.py, in an environment of its own requirements.txt."""

from __future__ import annotations

import shutil
from pathlib import Path

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import Install, Layout, Runtime, listed
from onnxferry.system.errors import RehearsalError


def _unpack(package: Package, root: Path) -> Layout:
    app = root / "package"
    try:
        shutil.copytree(package.path, app)
    except OSError as e:
        raise RehearsalError(
            f"{package.path}: not a package of the local server ({e}); build it again"
        ) from e
    return Layout(root, app, app / "model")


def _installs(layout: Layout, python: str) -> tuple[Install, ...]:
    requirements = layout.app / "requirements.txt"
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
    arguments=lambda layout, port: (str(layout.app / "server.py"), "--port", str(port)),
    environment=lambda layout, port: {},
)
