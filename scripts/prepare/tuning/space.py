"""What is searched: a table over the fields of EngineOptions. A new option is a row, or is named
among those that are never tuned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare.tuning.scenario import LATENCY, RATE, THROUGHPUT

Changes: TypeAlias = Mapping[str, Any]  # options and their values, against others
ALL = (LATENCY, THROUGHPUT, RATE)
MANY = (THROUGHPUT, RATE)  # where runs meet
# fields of EngineOptions that a host says of itself
NOT_TUNED: tuple[str, ...] = ("processes",)


@dataclass(frozen=True)
class Row:
    """Alternatives for one or more options that depend on each other, by the host's CPUs, and the
    scenarios in which they can matter."""

    options: tuple[str, ...]
    scenarios: tuple[str, ...]
    alternatives: Callable[[int], Sequence[Changes]]


def _fewer(cpus: int) -> list[int]:
    """1, 2, 4 ... below `cpus`: as many as that are what the host decides by itself."""
    return [1 << i for i in range(cpus.bit_length()) if 1 << i < cpus]


def _spinning(microseconds: int) -> Changes:
    return {"spin_duration_us": microseconds, "spin_between_runs": True}


SPACE = (
    Row(
        ("threads", "parallel_runs"),
        MANY,
        lambda cpus: [{"threads": t, "parallel_runs": cpus // t} for t in _fewer(cpus)],
    ),
    Row(("threads",), ALL, lambda cpus: [{"threads": t} for t in _fewer(cpus)]),
    Row(("parallel_runs",), MANY, lambda cpus: [{"parallel_runs": n} for n in _fewer(cpus)]),
    Row(
        ("spin_duration_us",),
        ALL,
        lambda cpus: [{"spin_duration_us": us} for us in (0, 1000) if cpus > 1],
    ),
    Row(
        ("spin_duration_us", "spin_between_runs"),
        (LATENCY, RATE),  # where there are pauses
        lambda cpus: [_spinning(us) for us in (1000, 100_000) if cpus > 1],
    ),
    Row(("shared_runs",), MANY, lambda _: [{"shared_runs": False}]),
    Row(("arena",), ALL, lambda _: [{"arena": False}]),
    Row(("prepack",), ALL, lambda _: [{"prepack": False}]),
)


def alternatives(scenario: str, cpus: int, fixed: Changes) -> list[Changes]:
    """What is tried in this order; nothing of the options in `fixed`."""
    rows = [row for row in SPACE if scenario in row.scenarios and not set(row.options) & set(fixed)]
    return [changes for row in rows for changes in row.alternatives(cpus)]


def alike(one: EngineOptions, other: EngineOptions) -> bool:
    """Whether both do the same: a run on one thread has no idle ones that could spin."""
    return _effective(one) == _effective(other)


def _effective(options: EngineOptions) -> EngineOptions:
    if options.threads != 1:
        return options
    return replace(options, spin_duration_us=0, spin_between_runs=False)


def differences(options: EngineOptions, default: EngineOptions = EngineOptions()) -> dict[str, Any]:
    """The options that are not the default's."""
    return dict(_different(options, default))


def _different(options: EngineOptions, default: EngineOptions) -> Iterator[tuple[str, Any]]:
    for name in (field.name for field in fields(EngineOptions)):
        if (value := getattr(options, name)) != getattr(default, name):
            yield name, value


def told(changes: Changes) -> str:
    """Such as: threads 1, spin_duration_us 100."""
    values = {True: "on", False: "off"}
    parts = (
        f"{name} {values[value] if isinstance(value, bool) else value}"
        for name, value in changes.items()
    )
    return ", ".join(parts) or "the defaults"
