"""Rows a second of workers, what a second worker adds, and what many rows take by that."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxferry.scripts.benchmark.rounds import EngineResult
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.scripts.metrics.definitions import normalise

# what an engine says of a row, in the form that those which answer in one text have too
SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "question-answering": lambda answer: normalise(answer["answer"]),
    "text-classification": lambda answer: str(answer["label"]),
}


@dataclass(frozen=True)
class Times:
    """How many times as fast by the medians, and the least and most of the rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.least:.2f} to {self.most:.2f})"


@dataclass(frozen=True)
class Projected:
    """So many rows on so many CPUs of the measured kind: hours, and what they cost."""

    rows: int
    cpus: int
    hours: float
    cost: float


def workers(spec: EngineSpec) -> int:
    """How many CPUs an engine has, one for each worker."""
    return int(spec.options.get("workers", 1))


def rates(engine: EngineResult) -> list[float]:
    """Rows a second of each round."""
    return [r.items / r.seconds for r in engine.rounds]


def rate(engine: EngineResult) -> float:
    """Their median."""
    return statistics.median(rates(engine))


def cpu_rates(engine: EngineResult) -> list[float]:
    """Rows a second that was computed, on all CPUs together, of each round: what else runs on the
    machine changes it little. Empty where that is not known."""
    return [r.items / r.cpu for r in engine.rounds] if all(r.cpu for r in engine.rounds) else []


def times_as_fast(engine: EngineResult, other: EngineResult) -> Times:
    """`engine` against `other`, round by round: what slows the machine slows both."""
    return _times(rates(engine), rates(other))


def times_less_cpu(engine: EngineResult, other: EngineResult) -> Times | None:
    """The same by what was computed; None where that is not known."""
    own, theirs = cpu_rates(engine), cpu_rates(other)
    return _times(own, theirs) if own and theirs else None


def _times(own: Sequence[float], theirs: Sequence[float]) -> Times:
    ratios = [a / b for a, b in zip(own, theirs, strict=True)]
    return Times(statistics.median(ratios), min(ratios), max(ratios))


def same_answers(engine: EngineResult, other: EngineResult, task: str) -> float:
    """The share of rows, 0 to 1, of which both say the same."""
    pairs = zip(engine.answers, other.answers, strict=True)
    return statistics.fmean(SAID[task](a) == SAID[task](b) for a, b in pairs)


def start(engine: EngineResult) -> float:
    """Seconds before an engine scores at its speed: the libraries, the session, the workers and the
    model, which some load with the first batch."""
    usual = statistics.median(r.seconds for r in engine.rounds)
    return engine.load + max(0.0, engine.first - usual)


def alone(engine: EngineResult, found: Sequence[EngineResult]) -> EngineResult | None:
    """The same engine on the same model with one worker."""
    if workers(engine.spec) == 1:
        return None
    same = (e for e in found if workers(e.spec) == 1 and _family(e) == _family(engine))
    return next(same, None)


def _family(engine: EngineResult) -> tuple[Any, ...]:
    spec = engine.spec
    same = {k: v for k, v in spec.options.items() if k not in ("workers", "copies")}
    return spec.kind, spec.path, same


def efficiency(engine: EngineResult, found: Sequence[EngineResult]) -> float | None:
    """Of an engine with one worker the share of a worker's speed that several keep, each; None
    where that was not measured."""
    for other in found:
        if alone(other, found) is engine:
            return times_as_fast(other, engine).median / workers(other.spec)
    return None


def projected(
    engine: EngineResult, found: Sequence[EngineResult], asked: tuple[int, int], price: float
) -> Projected:
    """`asked`: rows and CPUs. `engine` has one worker; more of them keep `efficiency` of its speed,
    or all where that was not measured, and each has one start. `price`: of a CPU's hour."""
    rows, cpus = asked
    kept = 1.0 if cpus == 1 else min(efficiency(engine, found) or 1.0, 1.0)
    hours = (start(engine) + rows / (rate(engine) * cpus * kept)) / 3600
    return Projected(rows, cpus, hours, hours * cpus * price)
