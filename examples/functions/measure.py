"""One function app in Azure's worker: how it starts, what it takes, how fast it answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from examples.functions import limited
from examples.functions.build import App
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import Host, start
from onnxferry.scripts.rehearse.functions import RUNTIME
from onnxferry.scripts.rehearse.network import choose
from onnxferry.scripts.rehearse.phases import StartPhases
from onnxferry.scripts.rehearse.runtime import UnpackedPackage
from onnxferry.scripts.rehearse.start import Surroundings
from onnxferry.system.console import ReportStage, stage
from onnxferry.system.errors import RehearsalError

WARM_UP = 5


@dataclass(frozen=True)
class Round:
    """One start: seconds to the first answer and `phases` of them, `cpu_seconds` until then of all
    processes, milliseconds of each later answer and of CPU for one, MiB at the peak, and the
    best label of an answer."""

    seconds: float
    phases: StartPhases
    cpu_seconds: float
    latencies: tuple[float, ...]
    cpu_ms: float
    memory: float
    label: str


def measured(app: App, request: Request, repeats: int, report: ReportStage = stage) -> Round:
    """Start `app`, ask it for `repeats` answers, stop it. Raises RehearsalError when it cannot."""
    with served(app, report=report) as host:
        first = host.send(request)
        seconds, used = time.monotonic() - host.began, host.cpu_seconds()
        if first.status != 200:
            raise host.failure(f"the first request was answered with {first.status}")
        for _ in range(WARM_UP):
            host.send(request)
        before = host.cpu_seconds()
        latencies = tuple(host.send(request).seconds * 1000 for _ in range(repeats))
        cpu_ms = (host.cpu_seconds() - before) / repeats * 1000
        phases = StartPhases.of(host.healthy, first.seconds, host.log())
        label = json.loads(first.body)[0]["label"]
        return Round(seconds, phases, used, latencies, cpu_ms, host.memory_mib(), label)


def survives(app: App, request: Request, mebibytes: int, report: ReportStage = stage) -> str:
    """How `app` does when all its processes together have so much memory, in words."""
    with limited.memory_group(mebibytes) as group:
        if group is None:
            return "not measured (no cgroup)"
        try:
            with served(app, group, report) as host:
                status = [host.send(request).status for _ in range(WARM_UP)]
                return "answers" if set(status) == {200} else f"status {max(status)}"
        except RehearsalError:
            return "is killed"


@contextmanager
def served(app: App, group: Path | None = None, report: ReportStage = stage) -> Iterator[Host]:
    """`app` in the worker, in a memory cgroup where one is given. What Python would compile is not
    kept, as on the platform, whose folder of an app is read-only."""
    package = Package("functions", app.name, app.folder, "", app.size, app.python, ())
    runtime = replace(
        RUNTIME,
        unpack=lambda _, root: UnpackedPackage(root, app.folder, app.folder / "model"),
        command=lambda unpacked, port: (*_limited(group), *RUNTIME.command(unpacked, port)),
        environment=_environment,
    )
    around = Surroundings(choose(egress=True))
    with start(package, runtime=runtime, around=around, report=report) as host:
        yield host


def _limited(group: Path | None) -> tuple[str | Path | int, ...]:
    return (Path(limited.__file__), group) if group else ()


def _environment(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    return {**RUNTIME.environment(unpacked, port), "PYTHONDONTWRITEBYTECODE": "1"}
