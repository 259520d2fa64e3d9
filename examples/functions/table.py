"""What was measured, as a table: a figure a row, both functions and their ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from examples.functions.measure import Round

COLUMNS = ("", "onnxferry", "PyTorch", "ratio")
Figure = Callable[[Round], float | None]


@dataclass(frozen=True)
class Measured:
    """One function: `size` of its zip in bytes, its rounds, and how it did under the limit."""

    size: int
    rounds: tuple[Round, ...]
    limited: str


def rows(ours: Measured, theirs: Measured) -> list[list[str]]:
    """For COLUMNS. A ratio is of the medians: how many times less it is here."""
    figures: dict[str, tuple[str, Figure]] = {
        "cold start, process start to first answer, s": (".2f", lambda r: r.seconds),
        "- until the worker is healthy": (".2f", lambda r: r.phases.healthy),
        "- imports": (".2f", lambda r: r.phases.imports),
        "- model": (".2f", lambda r: r.phases.model),
        "- first answer": (".2f", lambda r: r.phases.first_answer),
        "CPU time of the cold start, s": (".2f", lambda r: r.cpu_seconds),
        "warm latency, p50, ms": (".1f", lambda r: statistics.median(r.latencies)),
        "warm latency, p95, ms": (".1f", lambda r: percentile(r.latencies, 95)),
        "CPU time of a warm request, ms": (".1f", lambda r: r.cpu_ms),
        "memory, all processes at the peak, MiB": (".0f", lambda r: r.memory),
    }
    labels = [" or ".join(sorted({r.label for r in each.rounds})) for each in (ours, theirs)]
    size = [f"{each.size / 1e6:.1f}" for each in (ours, theirs)]
    return [
        *([name, *_compared(*how, ours, theirs)] for name, how in figures.items()),
        ["package, MB", *size, f"{theirs.size / ours.size:.1f}x"],
        ["under the limit it", ours.limited, theirs.limited, ""],
        ["best label", *labels, "the same" if labels[0] == labels[1] else "NOT the same"],
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _compared(form: str, figure: Figure, ours: Measured, theirs: Measured) -> list[str]:
    values = [[v for v in map(figure, each.rounds) if v is not None] for each in (ours, theirs)]
    shown = [_shown(each, form) for each in values]
    return [*shown, _ratio(*values) if all(values) else ""]


def _shown(values: Sequence[float], form: str) -> str:
    if not values:
        return "within the above"
    middle, least, most = (format(f(values), form) for f in (statistics.median, min, max))
    return f"{middle} ({least} to {most})"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Of the medians, with the least and the most of the rounds."""
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.median(theirs) / statistics.median(ours)
    return f"{middle:.1f}x ({min(each):.1f} to {max(each):.1f})"
