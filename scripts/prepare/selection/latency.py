"""How fast each variant answers, through the scorer that will serve it.

Two figures: ms of a request with one input (the median of each of a few requests, then their mean),
and ms an input of a request with MANY (the median). Variants are compared by their geometric mean.
In each round they take turns, so that one is in memory at a time, and other work of the machine
slows all alike.
"""

from __future__ import annotations

import base64
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.datasets import evenly
from onnxferry.scripts.prepare.sources.user_inputs import LIST_IS_ONE_ITEM, Sample
from onnxferry.scripts.prepare.verification.asking import answer
from onnxferry.system.console import Progress

FIRST, ROUNDS = 2, 4  # rounds of all variants, and after them of those that may be chosen
FEW, MANY = 8, 32  # inputs that are sent alone, and inputs of one request
REPEATS = 5  # at most, in a round
SECONDS = 0.8  # after which a round stops repeating
SLOW = 3  # times the fastest in the first rounds: not measured again


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a request with one input, and of an input among MANY; None: no lists."""

    one: float
    item: float | None

    @property
    def mean(self) -> float:
        """The geometric mean."""
        return self.one if self.item is None else math.sqrt(self.one * self.item)


@dataclass(frozen=True)
class TimedRequests:
    """The requests that are timed, with one input each and with many."""

    ones: tuple[Request, ...]
    many: Request | None = None


def timed_requests(task: str, samples: Sequence[Sample], count: int = MANY) -> TimedRequests:
    """A few of `samples` alone, and `count` of them in one request."""
    ones = tuple(sample.request for sample in evenly(list(samples), FEW))
    listed = () if task in LIST_IS_ONE_ITEM else samples
    items = [found for sample in listed if (found := _inputs(sample.request))]
    if not items:
        return TimedRequests(ones)
    chosen = [items[i * len(items) // count % len(items)] for i in range(count)]
    body = {"inputs": [inputs for inputs, _ in chosen], "parameters": chosen[0][1]}
    return TimedRequests(ones, Request(json.dumps(body).encode()))


def _inputs(request: Request) -> tuple[Any, Mapping[str, Any]] | None:
    """An item and its parameters; None of a shorthand that no list is made of."""
    if request.content_type != JSON:
        return base64.b64encode(request.body).decode(), {}
    data = json.loads(request.body)
    return (data["inputs"], data.get("parameters") or {}) if "inputs" in data else None


def measure(
    folders: Mapping[str, Path], requests: TimedRequests, rounds: int, progress: Progress
) -> dict[str, Latency]:
    """The latency of each of the model directories `folders`. Raises PrepareError where a request
    is refused."""
    ones: dict[str, list[list[float]]] = {name: [] for name in folders}
    many: dict[str, list[list[float]]] = {name: [] for name in folders}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name in list(folders)[:: -1 if number % 2 else 1]:
            scorer = None  # one at a time is in memory
            scorer = scoring.load(folders[name])
            _pass(scorer, requests.ones)  # warms up
            ones[name] += _passes(scorer, requests.ones)
            # refused where the task takes no request of its size
            if requests.many and scorer.handle(requests.many).status == 200:
                many[name] += _passes(scorer, (requests.many,))
    return {name: _latency(ones[name], many[name]) for name in folders}


def _latency(ones: list[list[float]], many: list[list[float]]) -> Latency:
    one = statistics.fmean(map(statistics.median, zip(*ones, strict=True)))
    item = statistics.median(ms for (ms,) in many) / MANY if many else None
    return Latency(one, item)


def _passes(scorer: Scorer, requests: Sequence[Request]) -> list[list[float]]:
    began = time.perf_counter()
    found = [_pass(scorer, requests)]
    while len(found) < REPEATS and time.perf_counter() - began <= SECONDS:
        found.append(_pass(scorer, requests))
    return found


def _pass(scorer: Scorer, requests: Sequence[Request]) -> list[float]:
    return [_milliseconds(scorer, request) for request in requests]


def _milliseconds(scorer: Scorer, request: Request) -> float:
    began = time.perf_counter()
    answer(scorer, request, "a request to measure latency with")
    return 1000 * (time.perf_counter() - began)
