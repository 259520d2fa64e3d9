"""How fast each variant answers, through the scorer that will serve it.

Two figures: ms of a request with one input (the median of each of a few requests, then their mean),
and ms an input of a request with many (the median). Variants are compared by their geometric mean.
In each round they take turns, so that one is in memory at a time, and other work of the machine
slows all alike. A slow model is asked less in a round: of 32 inputs each of BERT-base's rounds took
20 s, and told no more than 8 do.
"""

from __future__ import annotations

import base64
import json
import math
import statistics
import time
from collections import defaultdict
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

FEW, MANY = 8, 32  # inputs at most that are sent alone, and inputs of one request
REPEATS = 5  # at most, in a round
SECONDS = 0.8  # after which a round stops repeating
_WARM = 0.3  # seconds after which a model is warm


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a request with one input, and of an input among many; None: no lists."""

    one: float
    item: float | None

    @property
    def mean(self) -> float:
        """The geometric mean."""
        return self.one if self.item is None else math.sqrt(self.one * self.item)


@dataclass(frozen=True)
class TimedRequests:
    """The requests that are timed, with one input each and with `size` of them."""

    ones: tuple[Request, ...]
    many: Request | None = None
    size: int = 0


def timed_requests(
    task: str, samples: Sequence[Sample], few: int = FEW, many: int = MANY
) -> TimedRequests:
    """So `few` of `samples` alone, and `many` of them in one request."""
    ones = tuple(sample.request for sample in evenly(list(samples), few))
    listed = () if task in LIST_IS_ONE_ITEM else samples
    items = [found for sample in listed if (found := _inputs(sample.request))]
    if not items:
        return TimedRequests(ones)
    chosen = [items[i * len(items) // many % len(items)] for i in range(many)]
    body = {"inputs": [inputs for inputs, _ in chosen], "parameters": chosen[0][1]}
    return TimedRequests(ones, Request(json.dumps(body).encode()), many)


def counts(seconds: float) -> tuple[int, int]:
    """The `few` and `many` of timed_requests for a model that answers one input in `seconds`."""
    done = int(2 * SECONDS / max(seconds, 1e-6))
    return max(FEW // 2, min(FEW, done)), max(MANY // 4, min(MANY, done))


def _inputs(request: Request) -> tuple[Any, Mapping[str, Any]] | None:
    """An item and its parameters; None of a shorthand that no list is made of."""
    if request.content_type != JSON:
        return base64.b64encode(request.body).decode(), {}
    data = json.loads(request.body)
    return (data["inputs"], data.get("parameters") or {}) if "inputs" in data else None


class LatencyRounds:
    """Rounds in which model directories answer `requests`; each name's of all its rounds count."""

    def __init__(self, requests: TimedRequests) -> None:
        self.requests = requests
        self._ones: dict[str, list[list[float]]] = defaultdict(list)
        self._many: dict[str, list[list[float]]] = defaultdict(list)
        self._rounds: dict[str, int] = defaultdict(int)

    def of(self, name: str) -> int:
        """In how many rounds `name` was."""
        return self._rounds[name]

    def run(self, folders: Mapping[str, Path], progress: Progress) -> dict[str, Latency]:
        """The latencies of model directories after one more round of them. Raises PrepareError
        where a request is refused, ModelError where a graph cannot be loaded."""
        for name in list(folders)[:: -1 if any(self.of(n) % 2 for n in folders) else 1]:
            progress(f"{name}, round {self.of(name) + 1}")
            self._measure(name, folders[name])
            self._rounds[name] += 1
        return {name: self._latency(name) for name in folders}

    def _measure(self, name: str, folder: Path) -> None:
        scorer, requests = scoring.load(folder), self.requests
        _warm_up(scorer, requests.ones)
        self._ones[name] += _passes(scorer, requests.ones)
        if requests.many:
            self._many[name] += _many_passes(scorer, requests.many)

    def _latency(self, name: str) -> Latency:
        one = statistics.fmean(map(statistics.median, zip(*self._ones[name], strict=True)))
        many = self._many[name]
        item = statistics.median(ms for (ms,) in many) / self.requests.size if many else None
        return Latency(one, item)


def _warm_up(scorer: Scorer, requests: Sequence[Request]) -> None:
    began = time.perf_counter()
    for request in requests:
        _milliseconds(scorer, request)
        if time.perf_counter() - began > _WARM:
            return


def _passes(scorer: Scorer, requests: Sequence[Request]) -> list[list[float]]:
    began = time.perf_counter()
    found = [_pass(scorer, requests)]
    while len(found) < REPEATS and time.perf_counter() - began <= SECONDS:
        found.append(_pass(scorer, requests))
    return found


def _many_passes(scorer: Scorer, request: Request) -> list[list[float]]:
    """None where the task takes no request of its size. The first warms up, unless it is slow."""
    began = time.perf_counter()
    if scorer.handle(request).status != 200:
        return []
    seconds = time.perf_counter() - began
    return [[1000 * seconds]] if seconds > SECONDS else _passes(scorer, (request,))


def _pass(scorer: Scorer, requests: Sequence[Request]) -> list[float]:
    return [_milliseconds(scorer, request) for request in requests]


def _milliseconds(scorer: Scorer, request: Request) -> float:
    began = time.perf_counter()
    answer(scorer, request, "a request to measure latency with")
    return 1000 * (time.perf_counter() - began)
