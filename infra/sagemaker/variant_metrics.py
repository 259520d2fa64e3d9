"""What CloudWatch counted of one variant of an endpoint: its requests, the model's errors and the
model's latency."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.shadow_traffic import TrafficMetrics

_ASKED = {  # id -> metric and statistic
    "requests": ("Invocations", "Sum"),
    "refused": ("Invocation4XXErrors", "Sum"),
    "failed": ("Invocation5XXErrors", "Sum"),
    "answered": ("ModelLatency", "SampleCount"),
    "p50": ("ModelLatency", "p50"),
    "p95": ("ModelLatency", "p95"),
}
_DAY = 86400
# Points older than so many seconds are kept for periods of so many only.
_PERIODS = ((63 * _DAY, 3600), (15 * _DAY, 300), (0, 60))

Values = Mapping[str, Mapping[datetime, float]]


def variant_metrics(
    clients: AwsClients, endpoint: str, variant: str, since: datetime, until: datetime
) -> TrafficMetrics | None:
    """The metrics between two times; None where they may not be read, which the clients' notes say
    then. Of more than one day, a percentile is the mean of the days', by their requests."""
    until = max(until, since + timedelta(minutes=1))  # whatever this machine's clock says
    seconds = (until - since).total_seconds()
    step = next(step for age, step in _PERIODS if seconds >= age)
    period = min(math.ceil(seconds / step) * step, _DAY)
    what = {"MetricDataQueries": list(_queries(endpoint, variant, period))}
    listed = ("cloudwatch", "get_metric_data", "MetricDataResults")
    where = f"metrics of endpoint {endpoint}, variant {variant}"
    found = clients.if_allowed(
        lambda: clients.pages(*listed, where, StartTime=since, EndTime=until, **what),
        "requests and latency are not known",
    )
    return None if found is None else _metrics(_values(found))


def _queries(endpoint: str, variant: str, period: int) -> Iterator[dict[str, Any]]:
    named = {"EndpointName": endpoint, "VariantName": variant}
    dimensions = [{"Name": name, "Value": value} for name, value in named.items()]
    for key, (metric, stat) in _ASKED.items():
        one = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions}
        yield {"Id": key, "MetricStat": {"Metric": one, "Period": period, "Stat": stat}}


def _values(found: Iterable[Mapping[str, Any]]) -> Values:
    values: dict[str, dict[datetime, float]] = defaultdict(dict)
    for result in found:
        values[result["Id"]] |= dict(zip(result["Timestamps"], result["Values"], strict=True))
    return values


def _metrics(values: Values) -> TrafficMetrics:
    counts = {key: round(sum(values[key].values())) for key in ("requests", "refused", "failed")}
    return TrafficMetrics(**counts, p50_ms=_latency(values, "p50"), p95_ms=_latency(values, "p95"))


def _latency(values: Values, key: str) -> float | None:
    """In ms, of microseconds; None where nothing was answered."""
    weights = {at: values["answered"].get(at, 1.0) for at in values[key]}
    total = sum(weights.values())
    whole = sum(value * weights[at] for at, value in values[key].items())
    return whole / total / 1000 if total else None
