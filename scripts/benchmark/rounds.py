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
from onnxferry.scripts.benchmark.process import Missing, Worker
from onnxferry.scripts.benchmark.specs import Spec
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError

SCENARIOS = ("sync", "async", "rate", "cold")


@dataclass(frozen=True)
class Plan:
    """`scenario`: sync, one request after the other; async, `streams` at a time; rate, at times of
    a Poisson process of `rate` requests a second; cold, a fresh process for each answer to the
    first request.

    A round asks every request once, and goes on for at least `seconds`. `warm_up` rounds do not
    count. `cores` CPUs are left to each engine (None: all), which runs with `pythons[kind]`, by
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

    def python(self, spec: Spec) -> str:
        return self.pythons.get(spec.name) or self.pythons.get(spec.kind) or sys.executable


@dataclass(frozen=True)
class Round:
    """`latencies` in seconds, one a request; `seconds` from the first question to the last answer;
    `memory`, the peak of the process in bytes, where it is known."""

    latencies: tuple[float, ...]
    seconds: float
    items: int
    memory: int | None = None


@dataclass(frozen=True)
class Measured:
    """`load` is the seconds that the engine took to be imported and loaded."""

    spec: Spec
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


Warn = Callable[[str], None]


def measure(
    specs: Sequence[Spec], requests: Sequence[list[Any]], plan: Plan, progress: Progress, warn: Warn
) -> list[Measured]:
    """Each engine's rounds. One whose library is not installed is left out, which `warn` is told.

    Raises UsageError when none is left, BenchmarkError when an engine fails or its process dies.
    """
    if plan.scenario == "cold":
        return _Cold(requests[:1], plan, warn).measure(specs, progress)
    with ExitStack() as stack:
        return _Warm(requests, plan, warn).measure(specs, progress, stack)


class _Warm:
    """Engines that stay loaded."""

    def __init__(self, requests: Sequence[list[Any]], plan: Plan, warn: Warn) -> None:
        self._requests, self._plan, self._warn = requests, plan, warn

    def measure(
        self, specs: Sequence[Spec], progress: Progress, stack: ExitStack
    ) -> list[Measured]:
        loaded: dict[str, tuple[Worker, float]] = {}
        for spec in specs:
            progress(f"load {spec.name}")
            worker = stack.enter_context(Worker(spec, self._plan.python(spec), self._plan.cores))
            try:
                loaded[spec.name] = worker, worker.load(self._plan.task)
            except Missing as e:
                self._warn(str(e))
        if not loaded:
            raise UsageError("none of the engines is installed")
        workers = [worker for worker, _ in loaded.values()]
        answers = {worker.spec.name: self._ask(worker, progress) for worker in workers}
        rounds = self._rounds(workers, progress)
        return [
            Measured(w.spec, w.versions(), load, tuple(rounds[name]), tuple(answers[name]))
            for name, (w, load) in loaded.items()
        ]

    def _ask(self, worker: Worker, progress: Progress) -> list[Any]:
        progress(f"{worker.spec.name}: the answers")
        worker.ask("requests", requests=self._requests)
        found: list[Any] = worker.ask("answers")
        return found

    def _rounds(self, workers: Sequence[Worker], progress: Progress) -> dict[str, list[Round]]:
        found: dict[str, list[Round]] = {worker.spec.name: [] for worker in workers}
        for number in range(self._plan.warm_up + self._plan.rounds):
            for worker in schedule.turns(workers, number):
                progress(
                    f"round {number + 1} of {self._plan.warm_up + self._plan.rounds}:"
                    f" {worker.spec.name}"
                )
                found[worker.spec.name].append(self._round(worker, number))
        return {name: rounds[self._plan.warm_up :] for name, rounds in found.items()}

    def _round(self, worker: Worker, number: int) -> Round:
        plan, times = self._plan, None
        if plan.rate:
            count = max(len(self._requests), round(plan.rate * plan.seconds))
            times = schedule.arrivals(plan.rate, count, plan.seed + number)
        spans = worker.ask("play", arrivals=times, streams=plan.streams, seconds=plan.seconds)
        items = sum(len(self._requests[i % len(self._requests)]) for i in range(len(spans)))
        seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
        return Round(
            tuple(end - begin for begin, end in spans), seconds, items, worker.ask("memory")
        )


class _Cold:
    """A fresh process each time, from its start to the first answer."""

    def __init__(self, requests: Sequence[list[Any]], plan: Plan, warn: Warn) -> None:
        self._requests, self._plan, self._warn = requests, plan, warn

    def measure(self, specs: Sequence[Spec], progress: Progress) -> list[Measured]:
        """The first start of each, which may have to read its files from the disk, does not
        count."""
        found = {spec.name: self._first(spec, progress) for spec in specs}
        present = [spec for spec in specs if found[spec.name]]
        if not present:
            raise UsageError("none of the engines is installed")
        runs: dict[str, list[Measured]] = {spec.name: [] for spec in present}
        for number in range(self._plan.rounds):
            for spec in schedule.turns(present, number):
                progress(f"round {number + 1} of {self._plan.rounds}: {spec.name}")
                runs[spec.name].append(self._start(spec))
        return [_joined(runs[spec.name]) for spec in present]

    def _first(self, spec: Spec, progress: Progress) -> Measured | None:
        progress(f"start {spec.name}")
        try:
            return self._start(spec)
        except Missing as e:
            self._warn(str(e))
            return None

    def _start(self, spec: Spec) -> Measured:
        began = time.perf_counter()
        with Worker(spec, self._plan.python(spec), self._plan.cores) as worker:
            load = worker.load(self._plan.task)
            worker.ask("requests", requests=self._requests)
            answers = worker.ask("answers")
            seconds = time.perf_counter() - began
            only = Round((seconds,), seconds, len(answers), worker.ask("memory"))
            return Measured(spec, worker.versions(), load, (only,), tuple(answers))


def _joined(runs: Sequence[Measured]) -> Measured:
    last = runs[-1]
    loads = sorted(run.load for run in runs)
    rounds = tuple(r for run in runs for r in run.rounds)
    return Measured(last.spec, last.versions, loads[len(loads) // 2], rounds, last.answers)
