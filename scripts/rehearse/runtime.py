"""What a platform's hosting runtime is to a rehearsal, as frozen data; one file a target fills it
in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scripts.package.contract import Package

HOSTS = Path(__file__).parent / "hosts"


@dataclass(frozen=True)
class Install:
    """One run of `pip install`: what, and with which further options."""

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()


def listed(requirements: Path) -> tuple[str, ...]:
    """The lines of a requirements.txt without its comments."""
    text = requirements.read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(filter(None, lines))


@dataclass(frozen=True)
class UnpackedPackage:
    """Where a package lies unpacked: `app` is what the runtime is pointed at, `model` holds
    model_spec.json."""

    root: Path
    app: Path
    model: Path


def _nothing_else(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Runtime:
    """`health` and `score` are paths on the runtime's port; `launcher` is a file in hosts/, run
    with `arguments`.

    `arguments` and `environment` are given the port, `installs` the Python version; `check` raises
    RehearsalError when the machine lacks something that no environment can hold.
    """

    title: str
    health: str
    score: str
    launcher: str
    unpack: Callable[[Package, Path], UnpackedPackage]
    installs: Callable[[UnpackedPackage, str], tuple[Install, ...]]
    arguments: Callable[[UnpackedPackage, int], tuple[str, ...]]
    environment: Callable[[UnpackedPackage, int], Mapping[str, str]] = _nothing_else
    check: Callable[[], None] = lambda: None
