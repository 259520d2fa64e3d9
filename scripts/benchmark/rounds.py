"""The measurement: every engine loaded in its process, then rounds in which they take turns at the
same requests."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from onnxferry.scripts.benchmark import schedule
from onnxferry.scripts.benchmark.process import EngineProcess, LibraryMissing
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError

SCENARIOS = ("sync", "async", "rate", "cold")
Warn = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkSettings:
    """`scenario`: sync, one request after the other; async, `streams` at a time; rate, at times of
    a Poisson process of `rate` requests a second; cold, a fresh process for each answer to the
    first request.

    A round asks every request once, and goes on for at least `seconds`. `warm_up` rounds do not
    count. Each engine may use `cores` CPUs (None: all), and runs with `pythons[name or kind]`, by
    default this interpreter.
    """

    task: str
    scenario: str = "sync"
    rounds: int = 5
    warm_up: int = 1
    streams: int = 1
    rate: float | None = None
    seconds: float = 0.0
    seed: int = 0
    cores: int | None = None
    pythons: Mapping[str, str] = field(default_factory=dict)

    def start(self, spec: EngineSpec) -> EngineProcess:
        """A new process for the engine, in its interpreter."""
        python = self.pythons.get(spec.name) or self.pythons.get(spec.kind) or sys.executable
        return EngineProcess(spec, python, self.cores)


@dataclass(frozen=True)
class Round:
    """`latencies` in seconds, one a request; `seconds` from the first question to the last answer;
    `memory`, the peak of the process in bytes, where it is known."""

    latencies: tuple[float, ...]
    seconds: float
    items: int
    memory: int | None = None


@dataclass(frozen=True)
class EngineResult:
    """`load` is the seconds that the engine took to be imported and loaded."""

    spec: EngineSpec
    versions: Mapping[str, str]
    load: float
    rounds: tuple[Round, ...]
    answers: tuple[Any, ...]

    @property
    def memory(self) -> int | None:
        """The peak memory of its process in bytes: the median of the rounds of `cold`, else the
        last."""
        known = sorted(r.memory for r in self.rounds if r.memory is not None)
        return known[len(known) // 2] if known else None


def measure(
    specs: Sequence[EngineSpec],
    requests: Sequence[list[Any]],
    settings: BenchmarkSettings,
    progress: Progress,
    warn: Warn,
) -> list[EngineResult]:
    """Each engine's rounds. One whose library is not installed is left out, which `warn` is told.

    Raises UsageError when none is left, BenchmarkError when an engine fails or its process dies.
    """
    with ExitStack() as stack:
        warm = _Warm(requests, settings, progress, stack)
        cold = _Cold(requests[:1], settings, progress)
        found = (cold if settings.scenario == "cold" else warm).measure(specs, warn)
    if not found:
        raise UsageError("none of the engines is installed")
    return found


@dataclass(frozen=True)
class _Warm:
    """Engines that stay loaded until `stack` is closed."""

    requests: Sequence[list[Any]]
    settings: BenchmarkSettings
    progress: Progress
    stack: ExitStack

    def measure(self, specs: Sequence[EngineSpec], warn: Warn) -> list[EngineResult]:
        loaded: dict[EngineProcess, float] = {}
        for spec in specs:
            self.progress(f"load {spec.name}")
            process = self.stack.enter_context(self.settings.start(spec))
            try:
                loaded[process] = process.load(self.settings.task)
            except LibraryMissing as e:
                warn(str(e))
        answers = {process: self._answers(process) for process in loaded}
        rounds = self._rounds(list(loaded))
        return [
            EngineResult(p.spec, p.versions(), load, tuple(rounds[p]), tuple(answers[p]))
            for p, load in loaded.items()
        ]

    def _answers(self, process: EngineProcess) -> list[Any]:
        self.progress(f"{process.spec.name}: the answers")
        process.ask("requests", requests=self.requests)
        found: list[Any] = process.ask("answers")
        return found

    def _rounds(self, processes: Sequence[EngineProcess]) -> dict[EngineProcess, list[Round]]:
        found: dict[EngineProcess, list[Round]] = {process: [] for process in processes}
        warm_up, count = self.settings.warm_up, self.settings.warm_up + self.settings.rounds
        for number in range(count if processes else 0):
            for process in schedule.turns(processes, number):
                self.progress(f"round {number + 1} of {count}: {process.spec.name}")
                found[process].append(self._round(process, number))
        return {process: rounds[warm_up:] for process, rounds in found.items()}

    def _round(self, process: EngineProcess, number: int) -> Round:
        settings, requests, times = self.settings, self.requests, None
        if settings.rate:
            count = max(len(requests), round(settings.rate * settings.seconds))
            times = schedule.arrivals(settings.rate, count, settings.seed + number)
        spans = process.ask(
            "play", arrivals=times, streams=settings.streams, seconds=settings.seconds
        )
        items = sum(len(requests[i % len(requests)]) for i in range(len(spans)))
        seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
        latencies = tuple(end - begin for begin, end in spans)
        return Round(latencies, seconds, items, process.ask("memory"))


@dataclass(frozen=True)
class _Cold:
    """A fresh process each time, from its start to the first answer."""

    requests: Sequence[list[Any]]
    settings: BenchmarkSettings
    progress: Progress

    def measure(self, specs: Sequence[EngineSpec], warn: Warn) -> list[EngineResult]:
        """The first start of each, which may have to read its files from the disk, does not
        count."""
        runs: dict[str, list[EngineResult]] = {}
        for spec in specs:
            self.progress(f"start {spec.name}")
            try:
                self._start(spec)
                runs[spec.name] = []
            except LibraryMissing as e:
                warn(str(e))
        present = [spec for spec in specs if spec.name in runs]
        for number in range(self.settings.rounds if present else 0):
            for spec in schedule.turns(present, number):
                self.progress(f"round {number + 1} of {self.settings.rounds}: {spec.name}")
                runs[spec.name].append(self._start(spec))
        return [_joined(runs[spec.name]) for spec in present]

    def _start(self, spec: EngineSpec) -> EngineResult:
        began = time.perf_counter()
        with self.settings.start(spec) as process:
            load = process.load(self.settings.task)
            process.ask("requests", requests=self.requests)
            answers = process.ask("answers")
            seconds = time.perf_counter() - began
            once = Round((seconds,), seconds, len(answers), process.ask("memory"))
            return EngineResult(spec, process.versions(), load, (once,), tuple(answers))


def _joined(runs: Sequence[EngineResult]) -> EngineResult:
    last, loads = runs[-1], sorted(run.load for run in runs)
    rounds = tuple(r for run in runs for r in run.rounds)
    return EngineResult(last.spec, last.versions, loads[len(loads) // 2], rounds, last.answers)
