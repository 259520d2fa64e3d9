"""Azure Monitor: the metrics of a resource, and its autoscale settings: the only importer of
azure-mgmt-monitor."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from azure.mgmt.monitor import MonitorManagementClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.errors import Refused

AUTOSCALE_VERSION = "2022-10-01"  # of the API
Span = tuple[datetime, datetime]

_MOST = 1000  # series of an answer; without a number Azure gives ten


@dataclass(frozen=True)
class MetricSeries:
    """The values of one metric, oldest first, without those that nothing was measured in:
    `dimensions` are what they were split by, in small letters."""

    metric: str
    values: tuple[tuple[datetime, float], ...]
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AutoscaleSetting:
    """An autoscale setting: `target` is the id of what it scales, `properties` are as Azure tells
    them."""

    name: str
    target: str
    location: str
    tags: Mapping[str, str]
    properties: Mapping[str, Any]


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

    def autoscale_settings(self, group: str) -> list[AutoscaleSetting]:
        """All autoscale settings of a resource group. Raises CloudError."""
        with translated(f"autoscale settings of resource group {group}"):
            return list(
                map(_setting, self._client.autoscale_settings.list_by_resource_group(group))
            )

    def autoscale_setting(self, group: str, name: str) -> AutoscaleSetting | None:
        """One autoscale setting, if it is there. Raises CloudError."""
        found = existing(_of(name, group), self._client.autoscale_settings.get, group, name)
        return _setting(found) if found is not None else None

    def put_autoscale_setting(self, group: str, name: str, body: Mapping[str, Any]) -> None:
        """Create the setting, or replace it. Raises Refused, too, where what it scales has another
        setting already."""
        sent = io.BytesIO(json.dumps(body).encode())
        put = self._client.autoscale_settings.create_or_update
        try:
            with translated(_of(name, group)):
                put(group, name, sent, content_type="application/json")
        except Refused as e:
            target = body["properties"]["targetResourceUri"].rpartition("/")[2]
            raise e.with_context(
                f"A resource has one autoscale setting: where {target} has another, in whatever"
                " resource group, delete that (az monitor autoscale list), or leave scaling out"
            ) from e

    def delete_autoscale_setting(self, group: str, name: str) -> None:
        """Delete the setting, which may be gone already."""
        existing(_of(name, group), self._client.autoscale_settings.delete, group, name)


def _series(metric: str, found: Any, key: str) -> MetricSeries:
    points = ((point.time_stamp, getattr(point, key)) for point in found.data or ())
    values = tuple((time, float(value)) for time, value in points if value is not None)
    dimensions = {one.name.value.lower(): one.value for one in found.metadatavalues or ()}
    return MetricSeries(metric, values, dimensions)


def _setting(found: Any) -> AutoscaleSetting:
    facts = found.serialize()
    target = found.target_resource_uri or ""
    properties = facts.get("properties") or {}
    return AutoscaleSetting(found.name, target, found.location, dict(found.tags or {}), properties)


def _of(name: str, group: str) -> str:
    return f"autoscale setting {name} of resource group {group}"


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
