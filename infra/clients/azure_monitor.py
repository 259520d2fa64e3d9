"""Azure Monitor: the metrics of a resource, and its autoscale settings: the only importer of
azure-mgmt-monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from azure.mgmt.monitor import MonitorManagementClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated

Span = tuple[datetime, datetime]

_MOST = 1000  # series of an answer; without a number Azure gives ten


@dataclass(frozen=True)
class MetricSeries:
    """The values of one metric, oldest first, without those that nothing was measured in:
    `dimensions` are what they were split by, in small letters."""

    metric: str
    values: tuple[tuple[datetime, float], ...]
    dimensions: Mapping[str, str] = field(default_factory=dict)


class Monitor:
    """The monitor of a subscription."""

    def __init__(self, session: AzureSession) -> None:
        self._ahead = timedelta()  # of Azure's clock before this machine's
        self._client = MonitorManagementClient(**session.options, raw_response_hook=self._note_date)

    def now(self, resource: str, metric: str) -> datetime:
        """Azure's time, as its answer to a question after a metric of a resource says: this
        machine's clock may be wrong. Raises CloudError, NotAllowed where metrics may not be
        read."""
        self.metrics(resource, (metric,), "Average", None)
        return datetime.now(timezone.utc) + self._ahead

    def metrics(
        self,
        resource: str,
        names: Sequence[str],
        aggregation: str,
        time: Span | None,
        where: str = "",
    ) -> list[MetricSeries]:
        """The values of these metrics of the resource of that id, by the minute, from a `time` to
        another, None for the last hour; `aggregation` is one that the metrics have ("Average"),
        `where` a filter such as "statusCodeClass eq '*'", which also splits by what it names. What
        happened in the last two or three minutes may be missing. Raises CloudError."""
        options: dict[str, Any] = {"timespan": "/".join(map(_iso, time))} if time else {}
        options |= {"filter": where, "top": _MOST} if where else {}
        with translated(f"metrics of {resource.rpartition('/')[2]}"):
            found = self._client.metrics.list(
                resource.lstrip("/"),
                interval="PT1M",
                metricnames=",".join(names),
                aggregation=aggregation,
                **options,
            )
        return [
            _series(metric.name.value, one, aggregation.lower())
            for metric in found.value
            for one in metric.timeseries
        ]

    def _note_date(self, response: Any) -> None:
        if date := response.http_response.headers.get("Date"):
            self._ahead = parsedate_to_datetime(date) - datetime.now(timezone.utc)


def _series(metric: str, found: Any, key: str) -> MetricSeries:
    points = ((point.time_stamp, getattr(point, key)) for point in found.data or ())
    values = tuple((time, float(value)) for time, value in points if value is not None)
    dimensions = {one.name.value.lower(): one.value for one in found.metadatavalues or ()}
    return MetricSeries(metric, values, dimensions)


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
