"""Instances: what runs now, what will run, and the most that runs in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COUNT = "DesiredInstanceCount"
Variant = Mapping[str, Any]


@dataclass(frozen=True)
class Fleet:
    """`count` instances of one type."""

    instance_type: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.instance_type}"


def configured(variant: Variant) -> Fleet:
    """What a production variant starts with."""
    return Fleet(variant["InstanceType"], variant["InitialInstanceCount"])


def retention(serving: Variant | None, wanted: Variant) -> dict[str, Any]:
    """The parameters of UpdateEndpoint that keep the number of instances that run, which somebody
    or an autoscaling policy has chosen, unless the configuration's own number changes."""
    if serving is None or serving["VariantName"] != wanted["VariantName"]:
        return {}
    if serving["InitialInstanceCount"] == wanted["InitialInstanceCount"]:
        return {"RetainAllVariantProperties": True}
    changed = [{"VariantPropertyType": COUNT}]
    return {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": changed}


def updated(serving: Variant | None, running: int, wanted: Variant) -> Fleet:
    """What runs after such an update, where `running` instances are there now."""
    fleet = configured(wanted)
    kept = "ExcludeRetainedVariantProperties" not in retention(serving, wanted)
    return Fleet(fleet.instance_type, running) if serving and running and kept else fleet


def added(fleets: tuple[Fleet, ...]) -> tuple[Fleet, ...]:
    """One fleet for each type, of all that run at a time."""
    counts: dict[str, int] = {}
    for fleet in fleets:
        counts[fleet.instance_type] = counts.get(fleet.instance_type, 0) + fleet.count
    return tuple(Fleet(*each) for each in counts.items())
