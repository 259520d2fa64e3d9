"""What is made of the rounds: percentiles, and comparisons with a baseline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, EngineResult, Round
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.system.errors import UsageError

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Comparison:
    """How many times as fast as a baseline an engine is by the medians, and the least and most of
    the rounds; how many times less memory it takes; the share of equal answers, 0 to 1."""

    times_as_fast: float
    least: float
    most: float
    times_less_memory: float | None
    same_answers: float

    def __str__(self) -> str:
        return f"{self.times_as_fast:.2f}x ({self.least:.2f} to {self.most:.2f})"


def compare(
    engine: EngineResult, baseline: EngineResult, settings: BenchmarkSettings, labels: int
) -> Comparison:
    """`engine` against `baseline`, of a model with `labels` labels."""
    own, theirs = _costs(engine, settings.scenario), _costs(baseline, settings.scenario)
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    median = statistics.median(theirs) / statistics.median(own)
    memory = baseline.memory / engine.memory if engine.memory and baseline.memory else None
    answers = list(zip(baseline.answers, engine.answers, strict=True))
    same = sum(AGREE[settings.task](*pair, labels) for pair in answers) / len(answers)
    return Comparison(median, min(ratios), max(ratios), memory, same)


def _costs(engine: EngineResult, scenario: str) -> list[float]:
    return [r.cost(scenario) for r in engine.rounds]


def baselines(
    found: Sequence[EngineResult], names: Sequence[str], scenario: str
) -> list[EngineResult]:
    """The engines that --baseline names, of a kind the fastest; by default the first."""
    chosen: list[EngineResult] = []
    for name in names:
        kind = [engine for engine in found if engine.spec.kind == name]
        fitting = kind or [engine for engine in found if engine.spec.name == name]
        chosen += sorted(fitting, key=lambda e: statistics.median(_costs(e, scenario)))[:1]
    return chosen or list(found[:1])


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raises UsageError for a name that is not `known`."""
    if unknown := [name for name in names if name not in known]:
        there = f"there are {', '.join(dict.fromkeys(known))}"
        raise UsageError(f"--baseline {unknown[0]}: no --engine has this name or kind; {there}")


def items_per_second(rounds: Sequence[Round]) -> float:
    """The median of the rounds."""
    return statistics.median(r.items / r.seconds for r in rounds)


def percentiles(rounds: Sequence[Round]) -> dict[str, float]:
    """Latency in milliseconds by percentile, over all rounds; the names are those of
    deepsparse.benchmark."""
    values = np.percentile(_milliseconds(rounds), PERCENTILES)
    return {f"{p:2.1f}%": float(value) for p, value in zip(PERCENTILES, values, strict=True)}


def result(rounds: Sequence[Round], scenario: str) -> dict[str, Any]:
    """`benchmark_result` of deepsparse.benchmark's export; latencies in milliseconds."""
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
