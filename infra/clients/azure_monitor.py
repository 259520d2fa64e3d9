"""Azure Monitor: the metrics of a resource, and its autoscale settings: the only importer of
azure-mgmt-monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from azure.mgmt.monitor import MonitorManagementClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated

Span = tuple[datetime, datetime]


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
        self._client = MonitorManagementClient(**session.options)

    def metrics(
        self, resource: str, names: Sequence[str], aggregation: str, time: Span, where: str = ""
    ) -> list[MetricSeries]:
        """The values of these metrics of the resource of that id, by the minute, from a `time` to
        another; `aggregation` is "Total", "Average", "Maximum"..., `where` a filter such as
        "statusCodeClass eq '*'", which also splits by what it names. What happened in the last
        two or three minutes may be missing. Raises CloudError."""
        span = "/".join(map(_iso, time))
        options = {"filter": where} if where else {}
        with translated(f"metrics of {resource.rpartition('/')[2]}"):
            found = self._client.metrics.list(
                resource,
                timespan=span,
                interval=timedelta(minutes=1),
                metricnames=",".join(names),
                aggregation=aggregation,
                **options,
            )
        key = aggregation.lower()
        return [
            MetricSeries(
                metric.name.value,
                tuple(
                    (one.time_stamp, float(value))
                    for one in series.data or ()
                    if (value := getattr(one, key)) is not None
                ),
                {d.name.value.lower(): d.value for d in series.metadatavalues or ()},
            )
            for metric in found.value
            for series in metric.timeseries
        ]


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
