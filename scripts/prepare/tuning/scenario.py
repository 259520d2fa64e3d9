"""What a model is tuned for. Each is a scenario of the benchmark, with the figure that counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.scripts.benchmark.rounds import Round
from onnxferry.system.errors import UsageError

LATENCY, THROUGHPUT, RATE = "latency", "throughput", "rate"
FORM = f"{LATENCY}, {THROUGHPUT}, {RATE} or {RATE}=REQUESTS_A_SECOND"
LEAST_RATE = 1.0  # a second: with fewer a round would take too long, and they are lone requests


@dataclass(frozen=True)
class _Kind:
    """`benchmark`: its --scenario. `seconds`: the least of a round. `cost`: what should be less."""

    benchmark: str
    seconds: float
    cost: Callable[[Round], float]
    what: str


_KINDS = {
    LATENCY: _Kind(
        "sync",
        0.4,
        lambda r: statistics.median(r.latencies),
        "requests of one input, one after the other: their median",
    ),
    THROUGHPUT: _Kind(
        "async",
        0.8,
        lambda r: r.seconds / r.items,
        "requests of many inputs, as many at once as there are CPUs: the seconds for all",
    ),
    # the mean, so that those that wait in a queue count
    RATE: _Kind(
        "rate",
        0.8,
        lambda r: statistics.fmean(r.latencies),
        "requests of one input that arrive at random: the mean from arrival to answer",
    ),
}


@dataclass(frozen=True)
class Scenario:
    """What --tune names. `rate`: requests that arrive a second; None: half of what the defaults
    answer."""

    name: str
    rate: float | None = None

    @staticmethod
    def read(text: str) -> Scenario:
        """Raises UsageError that tells the form."""
        name, given, value = text.partition("=")
        wrong = UsageError(f"--tune {text}: expected {FORM}")
        if name not in _KINDS or (given and name != RATE):
            raise wrong
        if not given:
            return Scenario(name)
        try:
            rate = float(value)
        except ValueError as e:
            raise wrong from e
        if not LEAST_RATE <= rate < float("inf"):
            lone = "fewer are lone requests on an idle host: --tune latency"
            raise UsageError(f"--tune {text}: must be at least {LEAST_RATE:g} a second; {lone}")
        return Scenario(name, rate)

    @property
    def kind(self) -> _Kind:
        """How it is measured."""
        return _KINDS[self.name]

    def __str__(self) -> str:
        return f"{RATE} of {self.rate:.3g} a second" if self.rate else self.name
