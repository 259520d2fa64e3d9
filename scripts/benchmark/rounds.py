"""The measurement: rounds in which the engines take turns at the same requests."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onnxferry.scripts.benchmark import inputs
from onnxferry.scripts.benchmark.process import EngineProcess, LibraryMissing
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError

T = TypeVar("T")
IDLE, SETTLING = 0.05, 5.0  # seconds without work after a round, and the most that it may take
SCENARIOS = ("sync", "async", "rate", "cold")


@dataclass(frozen=True)
class BenchmarkSettings:
    """The flags of the benchmark, which --help explains. An engine runs with `pythons[its name or
    kind]`, by default this interpreter, on `cores` CPUs, or one for each of its `workers`."""

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
        """A new process for the engine."""
        python = self.pythons.get(spec.name) or self.pythons.get(spec.kind) or sys.executable
        return EngineProcess(spec, python, spec.options.get("workers", self.cores))


@dataclass(frozen=True)
class Round:
    """`latencies` of the requests, and `seconds` from the first question to the last answer;
    `memory`: the process's peak in bytes, if known, and that of the largest `below` it, by command;
    `cpu`: the seconds that all of them computed."""

    latencies: tuple[float, ...]
    seconds: float
    items: int
    memory: int | None = None
    below: Mapping[str, int] = field(default_factory=dict)
    cpu: float = 0.0


@dataclass(frozen=True)
class EngineResult:
    """`load`: the seconds that the engine took to be imported and loaded; `first`: those that it
    took to answer everything for the first time."""

    spec: EngineSpec
    versions: Mapping[str, str]
    load: float
    rounds: tuple[Round, ...]
    answers: tuple[Any, ...]
    first: float = 0.0

    @property
    def memory(self) -> int | None:
        """The peak memory of its process in bytes: the median of the rounds."""
        known = [r.memory for r in self.rounds if r.memory is not None]
        return statistics.median_high(known) if known else None


def measure(
    specs: Sequence[EngineSpec],
    requests: Sequence[list[Any]],
    settings: BenchmarkSettings,
    progress: Progress,
    warn: Callable[[str], None],
) -> list[EngineResult]:
    """Each engine's rounds; `warn` is told whose library is missing. Raises UsageError when none is
    left, BenchmarkError when an engine fails."""
    cold = settings.scenario == "cold"
    warm_up = 0 if cold else settings.warm_up
    count = warm_up + settings.rounds
    found: dict[RunningEngine | _Fresh, list[Round]] = {}
    with ExitStack() as stack:
        for spec in specs:
            progress(f"load {spec.name}")
            engine = (_Fresh if cold else RunningEngine)(spec, requests, settings)
            try:
                engine.start(stack)
                found[engine] = []
            except LibraryMissing as e:
                warn(str(e))
        if not found:
            raise UsageError("none of the engines is installed")
        for number in range(count):
            for engine in turns(list(found), number):
                progress(f"round {number + 1} of {count}: {engine.spec.name}")
                found[engine].append(engine.play(number))
    return [engine.result(rounds[warm_up:]) for engine, rounds in found.items()]


def turns(engines: Sequence[T], number: int) -> list[T]:
    """The order in a round: each is first in turn, so that none always finds the machine warm."""
    first = number % len(engines)
    return [*engines[first:], *engines[:first]]


@dataclass(eq=False)
class _Measured:
    spec: EngineSpec
    requests: Sequence[list[Any]]
    settings: BenchmarkSettings
    loads: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    answers: tuple[Any, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def load(self, process: EngineProcess, requests: Sequence[list[Any]]) -> None:
        self.loads.append(process.load(self.settings.task))
        began = time.perf_counter()
        self.answers = tuple(process.ask("answers", requests=requests))
        self.firsts.append(time.perf_counter() - began)

    def result(self, rounds: Sequence[Round]) -> EngineResult:
        load, first = map(statistics.median_high, (self.loads, self.firsts))
        return EngineResult(self.spec, self.versions, load, tuple(rounds), self.answers, first)


class RunningEngine(_Measured):
    """In one process for all rounds, from `start` to the end of `stack`."""

    def start(self, stack: ExitStack) -> None:
        """Load it, and ask everything once. Raises LibraryMissing, BenchmarkError."""
        self._process = stack.enter_context(self.settings.start(self.spec))
        self.load(self._process, self.requests)
        self.versions = self._process.versions()
        self._settle()

    def play(self, number: int) -> Round:
        """Ask everything again; equal numbers give equal arrivals."""
        settings, requests, times = self.settings, self.requests, None
        if settings.rate:
            count = max(len(requests), round(settings.rate * settings.seconds))
            times = inputs.arrivals(settings.rate, count, settings.seed + number)
        how = {"streams": settings.streams, "seconds": settings.seconds}
        before = self._process.ask("cpu_seconds")
        spans = self._process.ask("play", arrivals=times, **how)
        computed = self._process.ask("cpu_seconds") - before
        asked = sum(len(requests[i % len(requests)]) for i in range(len(spans)))
        items = asked * self.spec.options.get("copies", 1)
        seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
        latencies = tuple(end - begin for begin, end in spans)
        memory, below = self._process.ask("memory"), self._process.ask("memory_below")
        self._settle()
        return Round(latencies, seconds, items, memory, below, computed)

    def _settle(self) -> None:
        """Until it computes no more, so that the next engine has the machine: ONNX Runtime's
        threads by default spin for a second after their last run."""
        until, before = time.monotonic() + SETTLING, -1.0
        while time.monotonic() < until:
            now = self._process.ask("cpu_seconds")
            if now - before < IDLE / 2:
                return
            before = now
            time.sleep(IDLE)


class _Fresh(_Measured):
    """In a new process each time, from its start to the answer to the first request."""

    def start(self, stack: ExitStack) -> None:
        """A start that does not count: it may have to read the files from the disk."""
        self.play(0)
        self.loads.clear()
        self.firsts.clear()

    def play(self, number: int) -> Round:
        began = time.perf_counter()
        with self.settings.start(self.spec) as process:
            self.load(process, self.requests[:1])
            seconds = time.perf_counter() - began
            self.versions = process.versions()
            return Round((seconds,), seconds, len(self.answers), process.ask("memory"))
