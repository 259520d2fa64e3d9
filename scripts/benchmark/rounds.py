"""The measurement: rounds in which the engines take turns at the same requests."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onnxferry.scripts.benchmark import inputs, specs
from onnxferry.scripts.benchmark.process import EngineProcess, LibraryMissing
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError

T = TypeVar("T")
IDLE, SETTLING = 0.05, 5.0  # seconds without work after a round, and the most that it may take
SCENARIOS = ("sync", "async", "rate", "cold")
BUSY = 0.05


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
    `cpu`: the seconds that all of them computed; `threads` of the process that computed for more
    than BUSY of the round, 0 where the system does not tell."""

    latencies: tuple[float, ...]
    seconds: float
    items: int
    memory: int | None = None
    below: Mapping[str, int] = field(default_factory=dict)
    cpu: float = 0.0
    threads: int = 0

    def cost(self, scenario: str) -> float:
        """Seconds for an item; where requests arrive by a rate the median latency."""
        arriving = scenario == "rate"
        return statistics.median(self.latencies) if arriving else self.seconds / self.items


@dataclass(frozen=True)
class Trial:
    """What a search tried: `options` beside the others, and what a round of it cost."""

    options: Mapping[str, int]
    cost: float


@dataclass(frozen=True)
class EngineResult:
    """`load`: the seconds that the engine took to be imported and loaded; `first`: those that it
    took to answer everything for the first time; `trials`: the search that chose its counts."""

    spec: EngineSpec
    versions: Mapping[str, str]
    load: float
    rounds: tuple[Round, ...]
    answers: tuple[Any, ...]
    first: float = 0.0
    trials: tuple[Trial, ...] = ()

    @property
    def memory(self) -> int | None:
        """The peak memory of its process in bytes: the median of the rounds."""
        known = [r.memory for r in self.rounds if r.memory is not None]
        return statistics.median_high(known) if known else None


def measure(
    chosen: Sequence[EngineSpec],
    requests: Sequence[list[Any]],
    settings: BenchmarkSettings,
    progress: Progress,
    warn: Callable[[str], None],
) -> list[EngineResult]:
    """Each engine's rounds; `warn` is told whose library is missing. Raises UsageError when none is
    left, BenchmarkError when an engine fails."""
    warm_up = 0 if settings.scenario == "cold" else settings.warm_up
    count = warm_up + settings.rounds
    found: dict[RunningEngine | _Fresh, list[Round]] = {}
    with ExitStack() as stack:
        for spec in chosen:
            progress(f"load {spec.name}")
            try:
                found[_started(spec, requests, settings, stack)] = []
            except LibraryMissing as e:
                warn(str(e))
        if not found:
            raise UsageError("none of the engines is installed")
        for number in range(count):
            for engine in turns(list(found), number):
                progress(f"round {number + 1} of {count}: {engine.spec.name}")
                found[engine].append(engine.play(number))
    return [engine.result(rounds[warm_up:]) for engine, rounds in found.items()]


def _started(
    spec: EngineSpec, requests: Sequence[list[Any]], settings: BenchmarkSettings, stack: ExitStack
) -> RunningEngine | _Fresh:
    """The engine, ready; where a count was given several values the one whose round was quickest,
    the others ended."""
    if settings.scenario == "cold":
        fresh = _Fresh(spec, requests, settings)
        fresh.start(stack)
        return fresh
    keys, trials = specs.searched(spec), []
    best: tuple[float, RunningEngine, ExitStack] | None = None
    for candidate in specs.candidates(spec):
        own = stack.enter_context(ExitStack())
        engine = RunningEngine(candidate, requests, settings)
        engine.start(own)
        cost = engine.play(0).cost(settings.scenario) if keys else 0.0
        trials.append(Trial({key: candidate.options[key] for key in keys}, cost))
        if best and best[0] <= cost:
            own.close()
            continue
        if best:
            best[2].close()
        best = cost, engine, own
    assert best  # noqa: S101  # there is one candidate at least
    best[1].trials = tuple(trials) if keys else ()
    return best[1]


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
    trials: tuple[Trial, ...] = ()

    def load(self, process: EngineProcess, requests: Sequence[list[Any]]) -> None:
        self.loads.append(process.load(self.settings.task))
        began = time.perf_counter()
        self.answers = tuple(process.ask("answers", requests=requests))
        self.firsts.append(time.perf_counter() - began)

    def result(self, rounds: Sequence[Round]) -> EngineResult:
        load, first = map(statistics.median_high, (self.loads, self.firsts))
        told = load, tuple(rounds), self.answers, first, self.trials
        return EngineResult(self.spec, self.versions, *told)


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
        before, busy = self._process.ask("cpu_seconds"), self._process.ask("thread_seconds")
        spans = self._process.ask("play", arrivals=times, **how)
        now = self._process.ask("thread_seconds")
        computed = self._process.ask("cpu_seconds") - before
        asked = sum(len(requests[i % len(requests)]) for i in range(len(spans)))
        items = asked * self.spec.options.get("copies", 1)
        seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
        latencies = tuple(end - begin for begin, end in spans)
        memory, below = self._process.ask("memory"), self._process.ask("memory_below")
        threads = sum(now[one] - busy.get(one, 0) > BUSY * seconds for one in now)
        self._settle()
        return Round(latencies, seconds, items, memory, below, computed, threads)

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
