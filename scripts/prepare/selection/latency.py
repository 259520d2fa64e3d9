"""How fast each variant answers, through the scorer that will serve it.

Two figures: the milliseconds of a request with one input (for each of a few requests the median
over its repetitions, then their mean, since short and long inputs differ), and the milliseconds an
input of a request with MANY inputs (the median). The fastest is the one with the least geometric
mean of both. Variants take turns: each round loads one after another, forwards and then backwards,
so that only one is in memory and what else the machine does troubles all alike.
"""

from __future__ import annotations

import base64
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.prepare.verification.samples import Sample
from onnxferry.system.console import Progress
from onnxferry.system.errors import PrepareError

FIRST, ROUNDS = 2, 4  # rounds of all variants, and after them of those that may be chosen
FEW, MANY = 8, 32  # inputs that are sent alone, and inputs of one request
REPEATS = 5  # at most, in a round
SECONDS = 0.8  # in which a round stops repeating
SLOW = 3  # times the fastest at first look: not measured again
_LISTLESS = ("tensors",)  # tasks whose list of inputs is one item


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a request with one input, and of an input among MANY; None where a task takes
    no list."""

    one: float
    item: float | None

    @property
    def mean(self) -> float:
        """The geometric mean, by which variants are compared."""
        return self.one if self.item is None else math.sqrt(self.one * self.item)


@dataclass(frozen=True)
class Workload:
    """The requests that are timed."""

    ones: tuple[Request, ...]
    many: Request | None = None


@dataclass
class _Times:
    """Seconds: of each request with one input its repetitions, and of the request with many."""

    ones: list[list[float]]
    many: list[float] = field(default_factory=list)

    def speed(self) -> Speed:
        one = statistics.fmean(statistics.median(times) for times in self.ones)
        return Speed(1000 * one, 1000 * statistics.median(self.many) / MANY if self.many else None)


def workload(task: str, samples: Sequence[Sample]) -> Workload:
    """A few of `samples` alone, and MANY of them in one request, evenly over all."""
    ones = (
        tuple(samples[i * len(samples) // FEW].request for i in range(FEW))
        if len(samples) > FEW
        else ()
    )
    ones = ones or tuple(sample.request for sample in samples)
    items = (
        [found for sample in samples if (found := _inputs(sample.request))]
        if task not in _LISTLESS
        else []
    )
    if not items:
        return Workload(ones)
    chosen = [items[i * len(items) // MANY % len(items)] for i in range(MANY)]
    body = {"inputs": [inputs for inputs, _ in chosen], "parameters": chosen[0][1]}
    return Workload(ones, Request(json.dumps(body).encode()))


def _inputs(request: Request) -> tuple[Any, Mapping[str, Any]] | None:
    """One item and its parameters; None of a shorthand that no list is made of."""
    if request.content_type != JSON:
        return base64.b64encode(request.body).decode(), {}
    data = json.loads(request.body)
    return (data["inputs"], data.get("parameters") or {}) if "inputs" in data else None


def measure(
    folders: Mapping[str, Path], work: Workload, rounds: int, progress: Progress
) -> dict[str, Speed]:
    """The speed of each of the model directories `folders`, by their names."""
    times = {name: _Times([[] for _ in work.ones]) for name in folders}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name in list(folders)[:: -1 if number % 2 else 1]:
            _time(scoring.load(folders[name]), work, times[name])
    return {name: found.speed() for name, found in times.items()}


def _time(scorer: Scorer, work: Workload, times: _Times) -> None:
    """One round of one variant; the first pass warms up and does not count."""
    _repeat(
        lambda: [_seconds(scorer, request) for request in work.ones],
        lambda found: _add(times.ones, found),
    )
    # else the task takes none of its size
    if work.many is not None and scorer.handle(work.many).status == 200:
        many = work.many
        _repeat(lambda: [_seconds(scorer, many)], times.many.extend, warm=True)


def _add(lists: list[list[float]], found: Sequence[float]) -> None:
    for times, seconds in zip(lists, found, strict=True):
        times.append(seconds)


def _repeat(work: Any, keep: Any, warm: bool = False) -> None:
    began = time.perf_counter()
    if not warm:
        work()
    for _ in range(REPEATS):
        keep(work())
        if time.perf_counter() - began > SECONDS:
            break


def _seconds(scorer: Scorer, request: Request) -> float:
    began = time.perf_counter()
    response = scorer.handle(request)
    took = time.perf_counter() - began
    if response.status != 200:
        raise PrepareError(
            f"a request to measure speed with got status {response.status}:"
            f" {response.body.decode()}"
        )
    return took
