"""What Azure Monitor counted of an endpoint's requests, or of one deployment's.

An online endpoint has the metric RequestsPerMinute, which has the one aggregation Average: its
values by the minute are summed here. The front end answers 424 for all that a container answers but
200, and says the container's status apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import fmean

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.clients.azure_monitor import Monitor, Span
from onnxferry.infra.request_metrics import RequestMetrics

REQUESTS = "RequestsPerMinute"
_P50, _P95 = "RequestLatency_P50", "RequestLatency_P95"
_AVERAGE = "Average"
_STATUS, _BY_MODEL = "statusCode", "modelStatusCode"
_MODEL_ERROR = 424
_TOO_BUSY = frozenset({408, 429})  # the container was too slow, or had too many requests waiting


def of_endpoint(monitor: Monitor, names: Names, span: Span) -> RequestMetrics:
    """Of all requests to the endpoint in that time. What failed is 5xx of the front end or of the
    container, and 408 and 429, which say that the container was too slow or too busy. Latency is
    the mean of the minutes' percentiles. Raises CloudError."""
    return _of(monitor, names.endpoint_id, span, {})


def of_deployment(monitor: Monitor, names: Names, deployment: str, span: Span) -> RequestMetrics:
    """The same of the requests that one deployment of the endpoint got."""
    return _of(monitor, names.endpoint_id, span, {"deployment": deployment})


def _of(monitor: Monitor, endpoint: str, span: Span, own: Mapping[str, str]) -> RequestMetrics:
    by_status = dict(_counted(monitor, endpoint, span, {**own, _STATUS: "*"}, _STATUS))
    if not (requests := sum(by_status.values())):
        return RequestMetrics(0)
    if _MODEL_ERROR in by_status:
        answered = {**own, _STATUS: str(_MODEL_ERROR), _BY_MODEL: "*"}
        by_model = dict(_counted(monitor, endpoint, span, answered, _BY_MODEL))
        by_model.pop(0, None)  # nobody knows: counted as failed
        unknown = by_status.pop(_MODEL_ERROR) - sum(by_model.values())
        by_status = sum(map(Counter, (by_status, by_model, {500: unknown})), Counter[int]())
    failed = sum(n for status, n in by_status.items() if status >= 500 or status in _TOO_BUSY)
    refused = sum(n for status, n in by_status.items() if status >= 400) - failed
    latency = _latency(monitor, endpoint, span, own)
    return RequestMetrics(requests, refused, failed, latency.get(_P50), latency.get(_P95))


def _counted(
    monitor: Monitor, endpoint: str, span: Span, where: Mapping[str, str], by: str
) -> Iterator[tuple[int, int]]:
    """How many requests there were, by the status that `by` has; 0 where it has none, as
    of a client that went away."""
    found = dict[int, float]()
    for series in monitor.metrics(endpoint, (REQUESTS,), _AVERAGE, span, _filter(where)):
        said = series.dimensions.get(by.lower(), "")
        status = int(said) if said.isdecimal() else 0
        found[status] = found.get(status, 0) + sum(value for _, value in series.values)
    return ((status, round(count)) for status, count in found.items())


def _latency(
    monitor: Monitor, endpoint: str, span: Span, own: Mapping[str, str]
) -> dict[str, float]:
    """In ms, by metric, of those that were measured."""
    found = monitor.metrics(endpoint, (_P50, _P95), _AVERAGE, span, _filter(own))
    by_metric = {one.metric: [value for _, value in one.values] for one in found}
    return {metric: fmean(values) for metric, values in by_metric.items() if values}


def _filter(where: Mapping[str, str]) -> str:
    return " and ".join(f"{name} eq '{value}'" for name, value in where.items())
