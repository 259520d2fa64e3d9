"""CloudWatch's metrics: samples with times, and the statistics of periods that begin at the start
that is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.fakes.aws.answers import Refusal

_MOST = 1440  # data points of one answer
_PLAIN: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "SampleCount": len,
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
}


@dataclass(frozen=True)
class Sample:
    metric: str
    dimensions: Mapping[str, str]
    when: float
    value: float


class Metrics(list[Sample]):
    """Of the namespace AWS/SageMaker."""

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {"GetMetricStatistics": self.statistics}

    def put(self, metric: str, when: datetime, *values: float, **dimensions: str) -> None:
        """SageMaker publishes `values`."""
        self += [Sample(metric, dimensions, when.timestamp(), value) for value in values]

    def statistics(self, asked: Mapping[str, Any]) -> Any:
        start, end, period = asked["StartTime"], asked["EndTime"], asked["Period"]
        _check(asked, start, end, period)
        named = {d["Name"]: d["Value"] for d in asked.get("Dimensions", [])}
        found = [
            s
            for s in self
            if asked["Namespace"] == "AWS/SageMaker"
            and (s.metric, s.dimensions) == (asked["MetricName"], named)
            and start <= s.when < end
        ]
        periods: dict[int, list[float]] = {}
        for sample in found:
            periods.setdefault(int((sample.when - start) // period), []).append(sample.value)
        points = [
            {"Timestamp": start + n * period, "Unit": "None", **_point(values, asked)}
            for n, values in periods.items()
        ]
        return {"Label": asked["MetricName"], "Datapoints": points}


def _point(values: list[float], asked: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _PLAIN[name](values) for name in asked.get("Statistics", [])}
    shares = asked.get("ExtendedStatistics", [])
    if not shares:
        return plain
    return {"ExtendedStatistics": {p: _percentile(values, float(p[1:])) for p in shares}}


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def _check(asked: Mapping[str, Any], start: float, end: float, period: int) -> None:
    if ("Statistics" in asked) == ("ExtendedStatistics" in asked):
        code, said = "InvalidParameterCombination", "either Statistics or ExtendedStatistics"
        raise Refusal(code, f"You must specify {said}, but not both.")
    if start >= end:
        raise Refusal("InvalidParameterValue", "The parameter StartTime must be less than EndTime.")
    if period % 60:
        said = "must be a multiple of 60"
        raise Refusal("InvalidParameterValue", f"The parameter Period {said}.")
    if (end - start) / period > _MOST:
        said = f"You have requested up to {(end - start) // period:.0f} datapoints"
        raise Refusal("InvalidParameterCombination", f"{said}, which exceeds the limit of {_MOST}.")
