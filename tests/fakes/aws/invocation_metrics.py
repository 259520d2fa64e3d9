"""CloudWatch's metrics of SageMaker's endpoints: what the variants were asked and how they
answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.invocations import Invocation

if TYPE_CHECKING:
    from tests.fakes.aws.server import AwsServer


@dataclass(frozen=True)
class Measured:
    """One invocation of a variant: when, its status, and the model's latency in microseconds."""

    endpoint: str
    variant: str
    at: float
    status: int
    latency: float


class InvocationMetrics:
    """`latency` is that of a variant (in microseconds) whose name begins so."""

    def __init__(self, aws: AwsServer) -> None:
        self.measured: list[Measured] = []
        self.latency: dict[str, float] = {"": 20_000.0}
        self._aws = aws
        aws.invocations.seen.append(self._seen)

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {"GetMetricData": self.data}

    def _seen(self, told: Invocation) -> None:
        begins = max((b for b in self.latency if told.variant.startswith(b)), key=len)
        what = (self._aws.faults.now(), told.response.status, self.latency[begins])
        self.measured.append(Measured(told.endpoint.name, told.variant, *what))

    def data(self, asked: Mapping[str, Any]) -> Any:
        start, end = asked["StartTime"], asked["EndTime"]
        if start >= end:
            raise Refusal("ValidationError", "The parameter StartTime must be less than EndTime.")
        return {
            "MetricDataResults": [self._result(q, start, end) for q in asked["MetricDataQueries"]]
        }

    def _result(self, query: Mapping[str, Any], start: float, end: float) -> dict[str, Any]:
        stat, metric = query["MetricStat"], query["MetricStat"]["Metric"]
        period = stat["Period"]
        if period % 60:
            raise Refusal("ValidationError", f"Period {period} must be a multiple of 60.")
        named = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
        series: dict[float, list[float]] = {}
        for one in self.measured:
            if {"EndpointName": one.endpoint, "VariantName": one.variant} != named:
                continue
            if metric["Namespace"] == "AWS/SageMaker" and start // 60 * 60 <= one.at < end:
                values = series.setdefault(one.at // period * period, [])
                values += _values(metric["MetricName"], one)
        points = {at: _statistic(stat["Stat"], values) for at, values in series.items() if values}
        times = sorted(points, reverse=True)
        return {
            "Id": query["Id"],
            "Label": metric["MetricName"],
            "Timestamps": times,
            "Values": [points[at] for at in times],
            "StatusCode": "Complete",
        }


def _values(metric: str, one: Measured) -> list[float]:
    """What one invocation adds to a metric."""
    return {
        "Invocations": [1.0],
        "Invocation4XXErrors": [float(400 <= one.status < 500)],
        "Invocation5XXErrors": [float(one.status >= 500)],
        "ModelLatency": [one.latency],
    }.get(metric, [])


def _statistic(name: str, values: Sequence[float]) -> float:
    ranked = sorted(values)
    if name.startswith("p"):
        return ranked[min(len(ranked) - 1, math.ceil(len(ranked) * float(name[1:]) / 100) - 1)]
    return {"Sum": sum(ranked), "SampleCount": len(ranked), "Average": sum(ranked) / len(ranked)}[
        name
    ]
