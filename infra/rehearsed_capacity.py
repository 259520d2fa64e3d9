"""What an instance can answer, reckoned from the package's rehearsal, and what autoscaling lets it
get of that.

An instance answers as many requests a second as its CPUs have time for, by the CPU time of one
request; or as its workers do one after the other, where their number is set. Half of that is the
target: so the load may double in the minutes in which more instances come up.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.scripts.rehearse.record import RehearsalRecord

HEADROOM = 0.5  # of what an instance can do; as AWS advises to begin with
_CLOSE = 0.25  # by how much a rehearsal's figures may differ from another's


@dataclass(frozen=True)
class Target:
    """What each instance shall get, with `why` for people, "" where deploy.toml says it."""

    value: float
    why: str = ""


def requests_a_second(rehearsed: RehearsalRecord, cpus: int, workers: str = "") -> float:
    """What one instance can do: in CPU time, and in turns of its `workers` where their number is
    set."""
    by_cpu = cpus * 1000 / rehearsed.cpu_ms
    if not workers.isdigit() or rehearsed.latency_p50_ms <= 0:
        return by_cpu
    return min(by_cpu, int(workers) * 1000 / rehearsed.latency_p50_ms)


def requests_a_minute(able: float) -> tuple[float, str]:
    """Of what an instance is `able` to answer in a second, what it shall get in a minute."""
    return able * 60 * HEADROOM, f"half of the {number(able * 60)} a minute that it can answer"


def reckoned(value: float, words: str, rehearsed: RehearsalRecord, cpus: int) -> Target:
    """`value` in two digits, and how it was come by."""
    said = f"{rehearsed.cpu_ms:.4g} ms of CPU a request in the rehearsal, {cpus} CPUs"
    return Target(max(1.0, float(f"{value:.2g}")), f"{words}; {said}")


def close_to(found: float | None, target: Target) -> Target:
    """`target`; or what is `found`, where that differs by no more than rehearsals do."""
    if found is None or abs(found - target.value) > _CLOSE * target.value:
        return target
    return Target(found, target.why)


def number(value: float) -> str:
    """A target or a rate, for people."""
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"
