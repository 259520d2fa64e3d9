"""What is made of the rounds: percentiles, ratios to a peer, and the share of equal answers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scripts.benchmark.rounds import Measured, Round
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.system.errors import UsageError

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Ratio:
    """How many times less a peer's median is of an engine's: of the medians, and the least and most
    of the rounds in which both had a turn."""

    peer: str
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.least:.2f} to {self.most:.2f})"


def cost(measured: Measured, scenario: str) -> list[float]:
    """What each round is compared by, in seconds: at a given rate the median latency, else the time
    for one item."""
    if scenario == "rate":
        return [statistics.median(r.latencies) for r in measured.rounds]
    return [r.seconds / r.items for r in measured.rounds]


def ratio(measured: Measured, peer: Measured, scenario: str) -> Ratio:
    """How many times as fast as `peer`, above 1 when faster."""
    own, theirs = cost(measured, scenario), cost(peer, scenario)
    pairs = [b / a for a, b in zip(own, theirs, strict=True)]
    return Ratio(
        peer.spec.name, statistics.median(theirs) / statistics.median(own), min(pairs), max(pairs)
    )


def memory_ratio(measured: Measured, peer: Measured) -> float | None:
    """How many times less memory than `peer`, at the peak."""
    return peer.memory / measured.memory if measured.memory and peer.memory else None


def peers(found: Sequence[Measured], names: Sequence[str], scenario: str) -> list[Measured]:
    """The engines that --against names: of a kind the one whose median is the best, also where
    another of them is called like the kind; else the one of that name. Without any the first
    engine. What is not installed is left out."""
    chosen: list[Measured] = []
    for name in names:
        fitting = [m for m in found if m.spec.kind == name] or [
            m for m in found if m.spec.name == name
        ]
        chosen += sorted(fitting, key=lambda m: statistics.median(cost(m, scenario)))[:1]
    return chosen or list(found[:1])


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"--against {unknown[0]}: no --engine has this name or kind; there are"
            f" {', '.join(known)}"
        )


def same(measured: Measured, peer: Measured, task: str, labels: int) -> float:
    """The share of answers that are the peer's: the best label, the span, the direction of the
    vector."""
    agree = AGREE[task]
    pairs = list(zip(peer.answers, measured.answers, strict=True))
    return sum(agree(theirs, own, labels) for theirs, own in pairs) / len(pairs)


def items_per_second(rounds: Sequence[Round]) -> float:
    return statistics.median(r.items / r.seconds for r in rounds)


def percentiles(rounds: Sequence[Round]) -> dict[str, float]:
    """Latency in milliseconds by percentile, over all rounds, under the names that
    deepsparse.benchmark gives them."""
    values = np.percentile(_milliseconds(rounds), PERCENTILES)
    return {f"{p:2.1f}%": float(value) for p, value in zip(PERCENTILES, values, strict=True)}


def result(rounds: Sequence[Round], scenario: str) -> dict[str, Any]:
    """`benchmark_result` of deepsparse.benchmark's export: latencies in milliseconds a request."""
    latencies = _milliseconds(rounds)
    return {
        "scenario": scenario,
        "items_per_sec": items_per_second(rounds),
        "seconds_ran": sum(r.seconds for r in rounds),
        "iterations": len(latencies),
        "median": statistics.median(latencies),
        "mean": statistics.fmean(latencies),
        "std": statistics.pstdev(latencies),
        **percentiles(rounds),
    }


def _milliseconds(rounds: Sequence[Round]) -> list[float]:
    return [1000 * seconds for r in rounds for seconds in r.latencies]
