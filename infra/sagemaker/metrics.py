"""What CloudWatch counted of an endpoint's requests in the last hour, by variant.

It is asked by GetMetricStatistics, whose periods begin where they are asked to: one of an hour has
the percentiles of just that hour. An asynchronous endpoint has no metric Invocations; what its
models answered counts, and its queue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.request_metrics import LAST_HOUR, RequestMetrics, known
from onnxferry.infra.sagemaker import state

_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
_QUEUE = timedelta(minutes=5)  # the metric of a queue comes once a minute, some minutes late
_NAMESPACE = "AWS/SageMaker"
_PERCENTILES = ("p50", "p95")


def last_hour(clients: AwsClients, endpoint: str, config: str, now: datetime) -> Mapping[str, Any]:
    """RequestMetrics by title, one for each variant of `config`; where CloudWatch does not tell,
    why."""
    asked = _Metrics(clients, endpoint, now.replace(second=0, microsecond=0))
    return known(lambda: dict(_titled(asked, state.described_config(clients, config) or {})))


def of_variant(
    clients: AwsClients, endpoint: str, variant: str, since: datetime, now: datetime
) -> RequestMetrics | None:
    """Those of a variant since a time, of the last day at most, which is the longest period. None
    where they may not be read, which the clients' notes say then."""
    until = now.replace(second=0, microsecond=0)
    minutes = math.ceil((until - since) / _MINUTE)
    span = min(max(minutes, 1) * _MINUTE, timedelta(days=1))
    asked = _Metrics(clients, endpoint, until, span)
    without = "requests and latency are not known"
    return clients.if_allowed(lambda: asked.of(variant, queued=False), without)


def _titled(asked: _Metrics, config: Mapping[str, Any]) -> Iterator[tuple[str, RequestMetrics]]:
    kinds = ("ProductionVariants", "ShadowProductionVariants")
    names = [variant["VariantName"] for kind in kinds for variant in config.get(kind, ())]
    queued = "AsyncInferenceConfig" in config
    for name in names:
        title = LAST_HOUR if len(names) == 1 else f"{LAST_HOUR}, {name}"
        yield title, asked.of(name, queued=queued)


@dataclass(frozen=True)
class _Metrics:
    """Of `endpoint`, of the `span` up to `now`."""

    clients: AwsClients
    endpoint: str
    now: datetime
    span: timedelta = _HOUR

    def of(self, variant: str, *, queued: bool) -> RequestMetrics:
        """Those of a variant."""
        waiting = self._waiting() if queued else None
        if queued:
            requests = self._one("ModelLatency", "SampleCount", variant)
        else:
            requests = self._one("Invocations", "Sum", variant)
        if not requests:
            return RequestMetrics(0, waiting=waiting)
        latency = self._point("ModelLatency", variant, ExtendedStatistics=list(_PERCENTILES))
        found = latency.get("ExtendedStatistics", {})
        p50, p95 = (found[p] / 1000 if p in found else None for p in _PERCENTILES)  # microseconds
        refused, failed = (int(self._one(f"Invocation{n}XXErrors", "Sum", variant)) for n in (4, 5))
        return RequestMetrics(int(requests), refused, failed, p50, p95, waiting)

    def _waiting(self) -> int | None:
        found = self._point("ApproximateBacklogSize", "", _QUEUE, Statistics=["Maximum"])
        return int(found["Maximum"]) if found else None

    def _one(self, metric: str, statistic: str, variant: str) -> float:
        return float(self._point(metric, variant, Statistics=[statistic]).get(statistic, 0))

    def _point(
        self, metric: str, variant: str, span: timedelta | None = None, **statistics: Any
    ) -> Mapping[str, Any]:
        """The only data point of `span`; empty where nothing was counted."""
        span = span or self.span
        values = {"EndpointName": self.endpoint, **({"VariantName": variant} if variant else {})}
        dimensions = [{"Name": name, "Value": value} for name, value in values.items()]
        times = {"StartTime": self.now - span, "EndTime": self.now}
        period = {"Period": int(span.total_seconds())}
        of = {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
        where = f"metric {metric} of endpoint {self.endpoint}"
        asked = {**of, **times, **period, **statistics}
        found = self.clients.call("cloudwatch", "get_metric_statistics", where, **asked)
        point: Mapping[str, Any] = next(iter(found["Datapoints"]), {})
        return point
