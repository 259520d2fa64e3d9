"""What is made of the rounds: percentiles, ratios to a baseline, and the share of equal answers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scripts.benchmark.rounds import EngineResult, Round
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.system.errors import UsageError

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as `baseline` an engine is: by the medians, and the least and most of
    the rounds in which both had a turn."""

    baseline: str
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.least:.2f} to {self.most:.2f})"


def cost(engine: EngineResult, scenario: str) -> list[float]:
    """What each round is compared by, in seconds: at a given rate the median latency, else the time
    for one item."""
    if scenario == "rate":
        return [statistics.median(r.latencies) for r in engine.rounds]
    return [r.seconds / r.items for r in engine.rounds]


def ratio(engine: EngineResult, baseline: EngineResult, scenario: str) -> Ratio:
    """How many times as fast as `baseline`, above 1 when faster."""
    own, theirs = cost(engine, scenario), cost(baseline, scenario)
    pairs = [b / a for a, b in zip(own, theirs, strict=True)]
    median = statistics.median(theirs) / statistics.median(own)
    return Ratio(baseline.spec.name, median, min(pairs), max(pairs))


def memory_ratio(engine: EngineResult, baseline: EngineResult) -> float | None:
    """How many times less memory than `baseline`, at the peak."""
    return baseline.memory / engine.memory if engine.memory and baseline.memory else None


def baselines(
    found: Sequence[EngineResult], names: Sequence[str], scenario: str
) -> list[EngineResult]:
    """The engines that --baseline names, by default the first: of a kind the fastest, else the one
    of that name. What is not installed is left out."""
    chosen: list[EngineResult] = []
    for name in names:
        kind = [engine for engine in found if engine.spec.kind == name]
        fitting = kind or [engine for engine in found if engine.spec.name == name]
        chosen += sorted(fitting, key=lambda e: statistics.median(cost(e, scenario)))[:1]
    return chosen or list(found[:1])


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raises UsageError for a name that is not `known`."""
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"--baseline {unknown[0]}: no --engine has this name or kind; there are"
            f" {', '.join(known)}"
        )


def same(engine: EngineResult, baseline: EngineResult, task: str, labels: int) -> float:
    """The share of answers, 0 to 1, that are the baseline's: the best label, the span, the
    direction of the vector."""
    pairs = list(zip(baseline.answers, engine.answers, strict=True))
    return sum(AGREE[task](theirs, own, labels) for theirs, own in pairs) / len(pairs)


def items_per_second(rounds: Sequence[Round]) -> float:
    """The median of the rounds."""
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
