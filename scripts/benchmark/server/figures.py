"""The cells of the tables, each made of one load of all rounds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxferry.scripts.benchmark.server import protocols
from onnxferry.scripts.benchmark.server.process import Usage
from onnxferry.scripts.benchmark.server.rounds import ServerResult
from onnxferry.scripts.benchmark.server.steps import Step

PERCENTILES = (50.0, 99.0)
Cell = Callable[[Sequence[Step]], str]


def rate(steps: Sequence[Step]) -> str:
    """Right answers a second: the mean of the rounds, the least and the most."""
    return _spread([step.load.rate for step in steps], "{:.0f}")


def times(steps: Sequence[Step], others: Sequence[Step]) -> str:
    """How many times the rate of the others, round by round."""
    pairs = zip(steps, others, strict=True)
    return _spread([a.load.rate / b.load.rate if b.load.rate else 0.0 for a, b in pairs], "{:.2f}")


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    mean = form.format(statistics.fmean(values))
    ends = f" ({form.format(min(values))} to {form.format(max(values))})"
    return mean + (ends if len(values) > 1 else "")


def latencies(steps: Sequence[Step]) -> list[float]:
    """Of all rounds, in seconds."""
    return [seconds for step in steps for seconds in step.load.latencies]


def percentiles(values: Sequence[float]) -> tuple[float, ...]:
    """p50 and p99; nothing of no values."""
    return tuple(map(float, np.percentile(values, PERCENTILES))) if len(values) else ()


def shown(at: Sequence[float]) -> list[str]:
    """Seconds as milliseconds."""
    return [f"{1000 * seconds:.1f}" for seconds in at] or ["no answer"] * len(PERCENTILES)


def latency(steps: Sequence[Step]) -> str:
    """p50 / p99 in milliseconds, over all rounds."""
    return " / ".join(shown(percentiles(latencies(steps))))


def arriving(steps: Sequence[Step]) -> str:
    """The rate, and the latency."""
    offered = statistics.fmean(step.offered or 0.0 for step in steps) if steps else 0.0
    return f"{offered:.0f}/s: {latency(steps)}" if steps else ""


def milliseconds(steps: Sequence[Step]) -> str:
    """The server's CPU a request."""
    known = [(step.cpu, step.load.asked) for step in steps if step.cpu is not None]
    asked = sum(count for _, count in known)
    return f"{1000 * sum(cpu for cpu, _ in known) / asked:.1f}" if asked else ""


def generators(steps: Sequence[Step]) -> str:
    """The generator's CPU a request in milliseconds, and as a share of the server's."""
    own = sum(step.load.cpu for step in steps)
    asked = sum(step.load.asked for step in steps)
    theirs = sum(step.cpu or 0.0 for step in steps)
    share = f" ({own / theirs:.1%})" if theirs else ""
    return f"{1000 * own / asked:.2f}{share}" if asked else ""


def sizes(usage: Usage) -> tuple[int, int, int]:
    """MiB, processes, threads."""
    return round(usage.memory / 2**20), usage.processes, usage.threads


def starts(server: ServerResult) -> str:
    """Seconds to the first right answer."""
    return _spread([r.start for r in server.rounds if r.start is not None], "{:.1f}")


def agreement(server: ServerResult, first: ServerResult) -> str:
    """The share of the first texts to which both give the same answer."""
    pairs = list(zip(server.rounds[0].answers, first.rounds[0].answers, strict=True))
    return f"{sum(protocols.same(*pair) for pair in pairs) / len(pairs):.1%}"


def errors(steps: Sequence[Step]) -> str:
    """How many of each kind."""
    found = sum((Counter(step.load.errors) for step in steps), Counter[str]())
    return ", ".join(f"{count} x {kind}" for kind, count in found.items()) or "0"


def record(step: Step) -> dict[str, Any]:
    """A step as data."""
    load = step.load
    p50, p99 = percentiles(load.latencies) or (None, None)
    return {
        "answers_per_second": load.rate,
        "answers": len(load.latencies),
        "asked": load.asked,
        "errors": dict(load.errors),
        "other_answers": step.wrong,
        "p50_ms": p50 and 1000 * p50,
        "p99_ms": p99 and 1000 * p99,
        "offered_per_second": step.offered,
        "server_cpu_seconds": step.cpu,
        "generator_cpu_seconds": load.cpu,
        "memory_bytes": step.usage and step.usage.memory,
        "processes": step.usage and step.usage.processes,
        "threads": step.usage and step.usage.threads,
        "late_p99_ms": 1000 * percentiles(load.late)[1] if load.late else None,
    }
