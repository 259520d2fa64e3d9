"""Azure Monitor's metrics of online endpoints and their deployments: what the fake's endpoints
really answered, by the minute, as late as a test says.

As strict as documented: known api-versions, metrics, aggregations and grains of a resource type;
filters on its dimensions alone; no more series than `top`, ten by default. Minutes without a
request have no value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.store import type_of

_ONLINE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
_VERSIONS = {"2018-01-01", "2019-07-01", "2021-05-01", "2023-10-01", "2024-02-01"}
_ASKED = {"api-version", "timespan", "interval", "metricnames", "aggregation", "top", "$filter"}
_MINUTE, _GRAIN, _DEFAULT_TOP = timedelta(minutes=1), "PT1M", 10
_CLAUSE = re.compile(r"(\w+) eq '([^']*)'")


@dataclass(frozen=True)
class Scored:
    """One request to a deployment, in seconds since 1970: what the front end answered, and what the
    container did ("" where it was not asked)."""

    at: float
    endpoint: str
    deployment: str
    status: int
    model_status: str
    ms: float

    @property
    def dimensions(self) -> Mapping[str, str]:
        status = str(self.status)
        return {
            "deployment": self.deployment,
            "statusCode": status,
            "statusCodeClass": f"{status[0]}xx",
            "modelStatusCode": self.model_status,
            "envoy_response_code": status,
        }


@dataclass(frozen=True)
class _Metric:
    unit: str
    dimensions: tuple[str, ...] = ()
    of: Callable[[Sequence[float]], float] | None = None  # of the latencies of a minute
    aggregations: tuple[str, ...] = ("Average",)


def _percentile(percent: int) -> Callable[[Sequence[float]], float]:
    return lambda found: sorted(found)[math.ceil(len(found) * percent / 100) - 1]


_ALL = ("Minimum", "Maximum", "Average")
_LATENCY = {f"RequestLatency_P{n}": _percentile(n) for n in (50, 90, 95, 99)}
_INSTANCES = (
    *("CpuMemoryUtilizationPercentage", "CpuUtilizationPercentage"),
    *("GpuMemoryUtilizationPercentage", "GpuUtilizationPercentage"),
)
_KNOWN: Mapping[str, Mapping[str, _Metric]] = {
    _ONLINE.lower(): {
        **{name: _Metric("Milliseconds", ("deployment",), of) for name, of in _LATENCY.items()},
        "RequestLatency": _Metric(
            "Milliseconds", ("deployment",), lambda found: sum(found) / len(found)
        ),
        "RequestsPerMinute": _Metric(
            "Count", ("deployment", "statusCode", "statusCodeClass", "modelStatusCode"), len
        ),
        "ConnectionsActive": _Metric("Count"),
        "NetworkBytes": _Metric("BytesPerSecond"),
        "NewConnectionsPerSecond": _Metric("CountPerSecond"),
    },
    f"{_ONLINE}/deployments".lower(): {
        **{name: _Metric("Milliseconds", (), of) for name, of in _LATENCY.items()},
        "RequestsPerMinute": _Metric("Count", ("envoy_response_code",), len),
        **{name: _Metric("Percent", ("instanceId",), None, _ALL) for name in _INSTANCES},
        "DiskUtilization": _Metric("Percent", ("instanceId", "disk"), None, _ALL),
        "DeploymentCapacity": _Metric("Count", ("instanceId", "State"), None, _ALL),
    },
}


@dataclass
class MonitorMetrics:
    """`scored` are all requests, in order; one is seen `lag` seconds after it came."""

    azure: AzureFake
    scored: list[Scored] = field(default_factory=list)
    lag: float = 0.0

    def __post_init__(self) -> None:
        below = r"/subscriptions/.+/onlineEndpoints/[^/]+(/deployments/[^/]+)?"
        path = rf"(?P<resource>{below})/providers/Microsoft\.Insights/metrics"
        self.azure.add(Route("GET", path, self._answer))

    def _answer(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        if self.azure.store.get(match["resource"]) is None:
            return error(404, "ResourceNotFound", f"{match['resource']} was not found.")
        known = _KNOWN[type_of(match["resource"]).lower()]
        names = [name for name in call.query.get("metricnames", "").split(",") if name]
        wrong = _complaint(call.query, {name: known.get(name) for name in names})
        if wrong:
            return error(400, "BadRequest", wrong)
        since, until = self._span(call.query)
        top = int(call.query.get("top", _DEFAULT_TOP))
        asked = _Asked(since, until, _clauses(call.query.get("$filter", "")), top)
        found = self._of(match["resource"], asked)
        value = [_value(name, known[name], asked, found) for name in names]
        span = f"{_iso(since)}/{_iso(until)}"
        return Answer(200, {"cost": 0, "timespan": span, "interval": _GRAIN, "value": value})

    def _span(self, query: Mapping[str, str]) -> tuple[datetime, datetime]:
        """The last hour by default."""
        if "timespan" in query:
            since, until = map(_time, query["timespan"].split("/"))
            return since, until
        now = datetime.fromtimestamp(self.azure.clock.now(), timezone.utc)
        return now - timedelta(hours=1), now

    def _of(self, resource: str, asked: _Asked) -> list[Scored]:
        endpoint, _, deployment = resource.lower().partition("/deployments/")
        seen = self.azure.clock.now() - self.lag
        return [
            one
            for one in self.scored
            if one.endpoint == endpoint
            and deployment in ("", one.deployment.lower())
            and one.at <= seen
            and asked.takes(one)
        ]


@dataclass(frozen=True)
class _Asked:
    """The minutes from `since` to `until`; `wanted` are the values of dimensions, "*" for any."""

    since: datetime
    until: datetime
    wanted: Mapping[str, set[str]]
    top: int

    @property
    def minutes(self) -> list[datetime]:
        first = self.since.replace(second=0, microsecond=0)
        count = math.ceil((self.until - first) / _MINUTE)
        return [first + n * _MINUTE for n in range(count)]

    def takes(self, one: Scored) -> bool:
        return all(
            "*" in values or one.dimensions[name] in values for name, values in self.wanted.items()
        )


def _complaint(query: Mapping[str, str], metrics: Mapping[str, _Metric | None]) -> str:
    """What is wrong with a question, "" where nothing is."""
    if query["api-version"] not in _VERSIONS:
        return f"The api-version {query['api-version']} is invalid."
    if unknown := set(query) - _ASKED:
        return f"unknown query parameters: {sorted(unknown)}"
    if query.get("interval", _GRAIN) != _GRAIN:
        return f"Detected invalid time grain input: {query['interval']}"
    if "timespan" in query and not re.fullmatch(r"[\dT:-]+Z/[\dT:-]+Z", query["timespan"]):
        return f"Detected invalid timespan: {query['timespan']}"
    if not metrics or None in metrics.values():
        return f"Failed to find metric configuration for {', '.join(metrics)}"
    return next((said for one in metrics.values() if one and (said := _unfit(query, one))), "")


def _unfit(query: Mapping[str, str], metric: _Metric) -> str:
    """What of a question does not go with a metric."""
    asked = query.get("aggregation", "Average").split(",")
    if wrong := {one.lower() for one in asked} - {one.lower() for one in metric.aggregations}:
        return f"aggregation {sorted(wrong)} is not one of {metric.aggregations}"
    where = query.get("$filter", "")
    if where and None in (found := [_clause(part) for part in where.split(" and ")]):
        return f"The filter is invalid: {where}, {found}"
    if unknown := set(_clauses(where)) - set(metric.dimensions):
        return f"Metric has no dimension {sorted(unknown)}; it has {metric.dimensions}"
    return ""


def _clauses(where: str) -> dict[str, set[str]]:
    parts = (_clause(part) for part in where.split(" and ") if part)
    return {found[0]: found[1] for found in parts if found}


def _clause(part: str) -> tuple[str, set[str]] | None:
    """ "a eq 'b' or a eq 'c'": "or" stands only between values of one dimension."""
    found = [_CLAUSE.fullmatch(one) for one in part.split(" or ")]
    matched = [one for one in found if one]
    names = {one[1] for one in matched}
    if len(matched) != len(found) or len(names) != 1:
        return None
    return names.pop(), {one[2] for one in matched}


def _value(name: str, metric: _Metric, asked: _Asked, found: Iterable[Scored]) -> dict[str, Any]:
    """One metric, with a series for each combination of what it is filtered by."""
    series: dict[tuple[str, ...], list[Scored]] = {} if asked.wanted else {(): []}
    for one in found:
        series.setdefault(tuple(one.dimensions[key] for key in asked.wanted), []).append(one)
    shown = list(series.items())[: asked.top if asked.wanted else None]
    return {
        "id": name,
        "type": "Microsoft.Insights/metrics",
        "name": {"value": name, "localizedValue": name},
        "unit": metric.unit,
        "timeseries": [
            {
                "metadatavalues": [
                    {"name": {"value": key.lower(), "localizedValue": key.lower()}, "value": value}
                    for key, value in zip(asked.wanted, values, strict=True)
                ],
                "data": [_point(metric, minute, rows) for minute in asked.minutes],
            }
            for values, rows in shown
        ],
        "errorCode": "Success",
    }


def _point(metric: _Metric, minute: datetime, rows: Iterable[Scored]) -> dict[str, Any]:
    start, end = minute.timestamp(), (minute + _MINUTE).timestamp()
    found = [one.ms for one in rows if start <= one.at < end]
    value = {"average": float(metric.of(found))} if metric.of and found else {}
    return {"timeStamp": _iso(minute), **value}


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
