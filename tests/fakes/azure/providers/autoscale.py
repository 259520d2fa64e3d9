"""Autoscale settings of Azure Monitor: what they may say, that what they scale and measure is
there, and that it has one setting; `run` does what the service does each minute without metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import isodate  # type: ignore[import-untyped]
from tzlocal.windows_tz import win_tz

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource, Store, type_of

SETTINGS = "Microsoft.Insights/autoscaleSettings"
_TRIGGER = {
    NEEDED: True,
    **dict.fromkeys(("metricName", "metricResourceUri", "timeGrain", "statistic"), NEEDED),
    **dict.fromkeys(("timeWindow", "timeAggregation", "operator", "threshold"), NEEDED),
    **dict.fromkeys(("metricNamespace", "metricResourceLocation", "dividePerInstance"), MAY),
    "dimensions": [{"DimensionName": NEEDED, "Operator": NEEDED, "Values": NEEDED}],
}
_ACTION = {NEEDED: True, "direction": NEEDED, "type": NEEDED, "value": MAY, "cooldown": NEEDED}
_SCHEDULE = dict.fromkeys(("timeZone", "days", "hours", "minutes"), NEEDED)
_PROFILE = {
    "name": NEEDED,
    "capacity": {NEEDED: True, "minimum": NEEDED, "maximum": NEEDED, "default": NEEDED},
    "rules": [{"metricTrigger": _TRIGGER, "scaleAction": _ACTION}],
    "fixedDate": {"timeZone": MAY, "start": NEEDED, "end": NEEDED},
    "recurrence": {"frequency": NEEDED, "schedule": {NEEDED: True, **_SCHEDULE}},
}
_SETTING = {
    "location": NEEDED,
    "tags": ANY,
    "properties": {
        NEEDED: True,
        "profiles": [_PROFILE],
        "targetResourceUri": NEEDED,
        **dict.fromkeys(("name", "enabled", "targetResourceLocation", "notifications"), MAY),
    },
}
_ONLINE = "microsoft.machinelearningservices/workspaces/onlineendpoints"
_METRICS: Mapping[str, Mapping[str, set[str]]] = {  # and their dimensions
    _ONLINE: {"RequestsPerMinute": {"deployment", "statusCode", "statusCodeClass"}},
    f"{_ONLINE}/deployments": {"CpuUtilizationPercentage": {"instanceId"}},
}
_ENUMS = {
    "statistic": {"Average", "Min", "Max", "Sum", "Count"},
    "timeAggregation": {"Average", "Minimum", "Maximum", "Total", "Count", "Last"},
    "operator": {"Equals", "NotEquals", "GreaterThan", "LessThan"}
    | {"GreaterThanOrEqual", "LessThanOrEqual"},
}
_DAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
_MINUTE, _HALF_DAY, _WEEK = timedelta(minutes=1), timedelta(hours=12), timedelta(days=7)
_SPANS = {"timeGrain": (_MINUTE, _HALF_DAY), "timeWindow": (5 * _MINUTE, _HALF_DAY)}


def types(fake: AzureFake) -> tuple[ResourceType, ...]:
    """The type; a PUT of it is done at once, and replaces."""

    def check(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        name, facts = call.path.rpartition("/")[2], body["properties"]
        if re.search(r"[<>%&#.,?/\\]| $", name) or len(name) > 260:
            return error(400, "InvalidResourceName", f"The name {name!r} is invalid.")
        if fake.store.get(facts["targetResourceUri"]) is None:
            said = f"The target resource {facts['targetResourceUri']} was not found."
            return error(400, "TargetResourceNotFound", said)
        for other in fake.store.all(SETTINGS):
            same = _target(other) == facts["targetResourceUri"].lower()
            if same and other["id"].lower() != call.path.lower():
                return error(409, "Conflict", "")  # Azure says no more
        if wrong := "; ".join(_complaints(fake.store, facts)):
            return error(400, "BadRequest", wrong)
        return None

    return (ResourceType(SETTINGS, _SETTING, check=check, replaces=True, fill=_fill),)


def run(fake: AzureFake) -> None:
    """Bring the instances of each target within the limits that hold before any time."""
    for setting in fake.store.all(SETTINGS):
        target = fake.store.get(_target(setting))
        if target and setting["properties"].get("enabled"):
            limits = setting["properties"]["profiles"][0]["capacity"]
            least, most = int(limits["minimum"]), int(limits["maximum"])
            target["sku"]["capacity"] = min(max(target["sku"]["capacity"], least), most)


def _fill(setting: Resource) -> None:
    setting["properties"].setdefault("predictiveAutoscalePolicy", None)
    for profile in setting["properties"]["profiles"]:
        for rule in profile["rules"]:
            rule["metricTrigger"].setdefault("dividePerInstance", False)
            rule["metricTrigger"].setdefault("dimensions", [])


def _target(setting: Resource) -> str:
    return str(setting["properties"]["targetResourceUri"]).lower()


def _complaints(store: Store, facts: Mapping[str, Any]) -> Iterator[str]:
    profiles = facts["profiles"]
    names = [profile["name"] for profile in profiles]
    if not 1 <= len(profiles) <= 20 or len(set(names)) < len(names):
        yield f"1 to 20 profiles of different names were expected: {names}"
    if sum(not {"recurrence", "fixedDate"} & set(profile) for profile in profiles) != 1:
        yield "one profile without times was expected"
    for profile in profiles:
        yield from _of_profile(store, profile)


def _of_profile(store: Store, profile: Mapping[str, Any]) -> Iterator[str]:
    capacity, rules = profile["capacity"], profile["rules"]
    if not all(isinstance(value, str) and value.isdigit() for value in capacity.values()):
        yield f"capacities are strings of digits: {capacity}"
        return
    least, count, most = (int(capacity[key]) for key in ("minimum", "default", "maximum"))
    if not least <= count <= most:
        yield f"minimum <= default <= maximum: {capacity}"
    if len(rules) > 10:
        yield f"{len(rules)} rules"
    for rule in rules:
        yield from _of_trigger(store, rule["metricTrigger"])
        yield from _of_action(rule["scaleAction"], most - least)
    if recurrence := profile.get("recurrence"):
        yield from _of_recurrence(recurrence)


def _of_trigger(store: Store, trigger: Mapping[str, Any]) -> Iterator[str]:
    id_, metric = trigger["metricResourceUri"], trigger["metricName"]
    metrics = _METRICS.get(type_of(id_).lower(), {})
    if store.get(id_) is None or metric not in metrics:
        yield f"{id_} is not there, or has no metric {metric}"
        return
    named = {one["DimensionName"] for one in trigger.get("dimensions") or ()}
    if not named <= metrics[metric]:
        yield f"{metric} has no dimensions {named - metrics[metric]}"
    for key, known in _ENUMS.items():
        if trigger[key] not in known:
            yield f"{key}: {trigger[key]}"
    for key, span in _SPANS.items():
        yield from _outside(key, trigger[key], *span)
    if isinstance(trigger["threshold"], bool) or not isinstance(trigger["threshold"], int | float):
        yield f"threshold is a number: {trigger['threshold']!r}"


def _of_action(action: Mapping[str, Any], room: int) -> Iterator[str]:
    if action["direction"] not in ("Increase", "Decrease"):
        yield f"direction: {action['direction']}"
    value = action.get("value", "1")
    if not isinstance(value, str) or not value.isdigit() or not 1 <= int(value) <= room:
        yield f"value is a string of 1 to maximum - minimum ({room}): {value!r}"
    yield from _outside("cooldown", action["cooldown"], _MINUTE, _WEEK)


def _outside(key: str, text: str, least: timedelta, most: timedelta) -> Iterator[str]:
    if not least <= isodate.parse_duration(text) <= most:
        yield f"{key} is between {least} and {most}: {text}"


def _of_recurrence(recurrence: Mapping[str, Any]) -> Iterator[str]:
    schedule = recurrence["schedule"]
    if recurrence["frequency"] != "Week":
        yield f"frequency is Week: {recurrence['frequency']}"
    if schedule["timeZone"] not in win_tz:
        yield f"no time zone is named {schedule['timeZone']}"
    if not schedule["days"] or not set(schedule["days"]) <= _DAYS:
        yield f"days: {schedule['days']}"
    for key, limit in (("hours", 24), ("minutes", 60)):
        values = schedule[key]
        if len(values) != 1 or not 0 <= values[0] < limit:
            yield f"{key} is one number below {limit}: {values}"
