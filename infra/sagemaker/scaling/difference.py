"""Whether what is registered is what deploy.toml asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from onnxferry.infra.sagemaker.scaling.requests import Request, ScaledVariant
from onnxferry.infra.sagemaker.tagging import set_before


def differs(found: ScaledVariant, new: ScaledVariant) -> bool:
    """Whether what is registered is not what is wanted. Limits that a scheduled action sets are as
    they should be."""
    least, most = {new.least}, {new.most}
    for action in new.schedule:
        limits = action["ScalableTargetAction"]
        least.add(limits.get("MinCapacity", new.least))
        most.add(limits.get("MaxCapacity", new.most))
    return (
        (found.least not in least or found.most not in most)
        or found.dimension != new.dimension
        or any(spare(found, new).values())
        or not _cover(found.policies, new.policies, "PolicyName")
        or not _cover(found.schedule, new.schedule, "ScheduledActionName")
        or not _covers(found.alarm, new.alarm)
        or not _covers(found.tags, new.tags)
    )


def spare(found: ScaledVariant, new: ScaledVariant) -> dict[str, list[str]]:
    """Names of policies, scheduled actions, tags and alarms that are there and not wanted."""
    names = _names(new.policies, "PolicyName"), _names(new.schedule, "ScheduledActionName")
    policies = (p["PolicyName"] for p in found.policies)
    actions = (a["ScheduledActionName"] for a in found.schedule)
    return {
        "policies": sorted(name for name in policies if name not in names[0]),
        "actions": sorted(name for name in actions if name not in names[1]),
        "tags": sorted(k for k in found.tags if k not in new.tags and set_before(k, found.tags)),
        "alarms": [found.alarm["AlarmName"]] if found.alarm and not new.alarm else [],
    }


def _names(items: Collection[Request], key: str) -> set[str]:
    return {item[key] for item in items}


def _cover(found: Collection[Request], new: Collection[Request], key: str) -> bool:
    there = {item[key]: item for item in found}
    return all(_covers(there.get(item[key]), item) for item in new)


def _covers(found: Any, new: Any) -> bool:
    """Whether `found` has all that `new` says; AWS describes more than was asked for."""
    if isinstance(new, Mapping):
        return isinstance(found, Mapping) and all(_covers(found.get(k), new[k]) for k in new)
    if isinstance(new, (list, tuple)):
        same = isinstance(found, (list, tuple)) and len(found) == len(new)
        return same and all(map(_covers, found, new))
    return bool(found == new)
