"""What a platform's hosting runtime is to a rehearsal; one file a target fills it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package.contract import Package

if TYPE_CHECKING:
    from onnxferry.scripts.rehearse.host import Host

HOSTS = Path(__file__).parent / "hosts"


@dataclass(frozen=True)
class Install:
    """One run of `pip install`: what, and with which further options."""

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()


def listed(requirements: Path) -> Install:
    """What a requirements.txt lists."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return Install(tuple(filter(None, (line.partition("#")[0].strip() for line in lines))))


@dataclass(frozen=True)
class UnpackedPackage:
    """Where a package lies unpacked: `app` is what the runtime is pointed at."""

    root: Path
    app: Path
    model: Path


@dataclass(frozen=True)
class Wire:
    """A model's requests and golden answers as a runtime has them; here as they are."""

    request: Callable[[ModelSpec, Request], Request] = lambda spec, request: request
    golden: Callable[[ModelSpec, Golden], Golden] = lambda spec, golden: golden


@dataclass(frozen=True)
class Runtime:
    """`health` and `score` are paths on the runtime's port. `installs` is given the Python version,
    `command` (a Python program and its arguments) and `environment` the port; `check` raises
    RehearsalError when the machine lacks what no environment can hold; `limit` is in seconds to the
    first healthy answer, `grace` to the end after SIGTERM. `build` is run once before, with the
    environment's Python, and `prove` last, while it serves. `images`: the runtime of the same
    package in others of the platform's images. `recorded`: its figures are those that endpoints are
    reckoned by."""

    title: str
    health: str
    score: str
    unpack: Callable[[Package, Path], UnpackedPackage]
    installs: Callable[[UnpackedPackage, str], tuple[Install, ...]]
    command: Callable[[UnpackedPackage, int], tuple[str | Path | int, ...]]
    environment: Callable[[UnpackedPackage, int], dict[str, str]] = lambda unpacked, port: {}
    check: Callable[[], None] = lambda: None
    limit: float = 120.0
    grace: float = 5.0
    build: Callable[[UnpackedPackage, Path], None] = lambda unpacked, python: None
    prove: Callable[[Host, UnpackedPackage], None] = lambda host, unpacked: None
    wire: Wire = Wire()
    images: Mapping[str, Runtime] = field(default_factory=dict)
    recorded: bool = True
