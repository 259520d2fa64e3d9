"""rehearsal.json beside a package: the figures of its last rehearsal, for what is reckoned of them
later. It is no part of the package, and nothing needs it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape

from onnxferry.scoring import cpu
from onnxferry.scripts.machine import machine
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse.limits import WHOLE
from onnxferry.scripts.rehearse.rehearsal import Rehearsal
from onnxferry.system.console import err
from onnxferry.system.files import replacing

FILE = "rehearsal.json"


@dataclass(frozen=True)
class RehearsalRecord:
    """The figures of a Rehearsal, of the package with `sha256`: `python` is that which it ran on,
    `machine` in words, and `cpus` how many of it the runtime could use. It ran within `memory_mb`
    (0: no limit), and, with `read_only`, on a file system that it could not write."""

    sha256: str
    python: str
    runtime: str
    start_seconds: float
    latency_p50_ms: float
    latency_p95_ms: float
    cpu_ms: float
    memory_mib: float
    cpus: int
    machine: str
    memory_mb: int = 0
    read_only: bool = False


def write(package: Package, done: Rehearsal) -> None:
    """Keep the figures of `done` beside `package`, which it proved; where that folder cannot be
    written to, say so."""
    kept = RehearsalRecord(
        sha256=package.sha256,
        python=done.python,
        runtime=done.runtime,
        start_seconds=round(done.start_seconds, 3),
        latency_p50_ms=round(done.latency_p50_ms, 3),
        latency_p95_ms=round(done.latency_p95_ms, 3),
        cpu_ms=round(done.cpu_ms, 3),
        memory_mib=round(done.memory_mib, 1),
        cpus=cpu.available(),
        machine=machine(),
        memory_mb=done.memory_mb,
        read_only=done.read_only == WHOLE,
    )
    try:
        with replacing(_file(package)) as fresh:
            fresh.write_text(json.dumps(asdict(kept), indent=2) + "\n", encoding="utf-8")
    except OSError as e:
        said = f"{_file(package)}: not written ({e.strerror}), so `plan` cannot estimate by it"
        err.print(f"[yellow]note[/yellow] {escape(said)}")


def read(package: Package) -> RehearsalRecord | None:
    """The figures beside `package`, which may be another package's (its `sha256` says); None where
    there are none, or what is there is not of this form."""
    try:
        return RehearsalRecord(**json.loads(_file(package).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def of(package: Package) -> RehearsalRecord | None:
    """The figures of that very `package`, if there are any."""
    found = read(package)
    return found if found and found.sha256 == package.sha256 else None


def _file(package: Package) -> Path:
    return package.path.parent / FILE
