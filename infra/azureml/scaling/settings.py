"""The autoscale setting of a deployment, as the very body that is sent to Azure Monitor.

A recurring profile holds from its time on until another's. Where it names no day, hour and minute
is the profile that holds before. Capacities are strings, as Azure has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.scaling.target import Scaled
from onnxferry.infra.target_tables.weekly import DAYS, Weekly, weekly, windows_zone

Body = Mapping[str, Any]

CPU, REQUESTS = "CpuUtilizationPercentage", "RequestsPerMinute"
_DEFAULT, _RESTING = "default", "serves nobody"
_OUT_MINUTES, _IN_MINUTES = 5, 10  # that are looked at
_MARGIN = 0.9  # of the threshold above, which the instances that stay may come to


@dataclass(frozen=True)
class Place:
    """Whose setting it is: ids of the endpoint and the deployment, its name, and the region; each
    may be an expression of an ARM template."""

    endpoint: str
    deployment: str
    name: str
    location: str


def setting(name: str, place: Place, scaled: Scaled) -> dict[str, Any]:
    """The properties of the setting `name` of a deployment that is `scaled`."""
    table = scaled.table
    profiles = [_profile(_DEFAULT, place, scaled, (table.min, table.max))]
    for action in table.schedule:
        least = table.min if action.min is None else action.min
        limits = (max(1, least), table.max if action.max is None else action.max)
        for time in weekly(action.at):
            named = f"{_days(time)} {time.hour:02}:{time.minute:02} {action.timezone}"
            zone = windows_zone(action.timezone)
            recurs = {"recurrence": _recurrence(time, zone)}
            profiles.append({**_profile(named, place, scaled, limits), **recurs})
    return {**_of(name, place.deployment, place.location), "profiles": profiles}


def resting(properties: Body) -> dict[str, Any]:
    """`properties` for a deployment that serves nobody: as few instances as there may be. Without
    requests there is nothing to measure, so that rules would leave those that there are."""
    least = properties["profiles"][0]["capacity"]["minimum"]
    capacity = {"minimum": least, "maximum": least, "default": least}
    return {**properties, "profiles": [{"name": _RESTING, "capacity": capacity, "rules": []}]}


def is_resting(properties: Body) -> bool:
    """Whether `properties` are those of `resting`."""
    return [one["name"] for one in properties["profiles"]] == [_RESTING]


def said_of(properties: Body, deployment: str, other: str) -> dict[str, Any]:
    """`properties`, which are a `deployment`'s, said of an `other`."""
    text = json.dumps(properties)
    return dict(json.loads(re.sub(re.escape(deployment), other, text, flags=re.IGNORECASE)))


def limits(properties: Body) -> str:
    """The limits and what is measured, for people: "1 to 4 instances, 70 % CPU"."""
    first = properties["profiles"][0]
    capacity, by = first["capacity"], list[str]()
    if is_resting(properties):
        plural = "" if int(capacity["minimum"]) == 1 else "s"
        return f"{capacity['minimum']} instance{plural}, as it serves nobody"
    for rule in first["rules"]:
        trigger = rule["metricTrigger"]
        if rule["scaleAction"]["direction"] == "Increase" and trigger["metricName"] in _WORDS:
            by.append(_WORDS[trigger["metricName"]].format(trigger["threshold"]))
    count = f"{capacity['minimum']} to {capacity['maximum']} instances"
    timed = [f"times of other limits: {len(properties['profiles']) - 1}"]
    return ", ".join([count, *by, *(timed if len(properties["profiles"]) > 1 else [])])


_WORDS = {REQUESTS: "{:,.4g} requests a minute each", CPU: "{:g} % CPU"}


def requests_of(properties: Body) -> float | None:
    """The requests a minute that an instance shall get; None where it is not scaled by those."""
    for rule in properties["profiles"][0]["rules"]:
        trigger = rule["metricTrigger"]
        if trigger["metricName"] == REQUESTS and rule["scaleAction"]["direction"] == "Increase":
            return float(trigger["threshold"])
    return None


def covers(found: Any, wanted: Any) -> bool:
    """Whether all that is `wanted` is `found`, which may say more, and ids in another case."""
    if isinstance(wanted, Mapping):
        there = isinstance(found, Mapping)
        return there and all(covers(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(found) == len(wanted)
        return same and all(map(covers, found, wanted))
    if isinstance(wanted, str):
        return isinstance(found, str) and found.lower() == wanted.lower()
    return bool(found == wanted)


def _of(name: str, deployment: str, location: str) -> dict[str, Any]:
    target = {"targetResourceUri": deployment, "targetResourceLocation": location}
    return {"name": name, "enabled": True, **target, "notifications": []}


def _profile(name: str, place: Place, scaled: Scaled, limits: tuple[int, int]) -> dict[str, Any]:
    least, most = limits
    count = min(max(scaled.count, least), most)
    capacity = {"minimum": str(least), "maximum": str(most), "default": str(count)}
    rules = list(_rules(place, scaled, least)) if least < most else []
    return {"name": name, "capacity": capacity, "rules": rules}


def _rules(place: Place, scaled: Scaled, least: int) -> Iterator[dict[str, Any]]:
    """A pair for each metric. Azure adds an instance where one asks for it, and takes one away
    where all agree."""
    if scaled.cpu_percent:
        cpu = {"metricName": CPU, "metricResourceUri": place.deployment}
        yield from _pair(cpu, scaled, float(scaled.cpu_percent), least)
    if scaled.requests:
        of = {"DimensionName": "deployment", "Operator": "Equals", "Values": [place.name]}
        requests: dict[str, Any] = {"metricName": REQUESTS, "metricResourceUri": place.endpoint}
        requests |= {"dimensions": [of], "dividePerInstance": True}
        yield from _pair(requests, scaled, scaled.requests.value, least)


def _pair(metric: Body, scaled: Scaled, above: float, least: int) -> Iterator[dict[str, Any]]:
    """Out above a threshold; in below one so low that the instances that stay, at the `least` that
    they can be, do not come above the first again."""
    below = round(above * _MARGIN * least / (least + 1), 2)
    out, into = scaled.table.scale_out_seconds, scaled.table.scale_in_seconds
    yield _rule({**metric, **_measured("GreaterThan", above, _OUT_MINUTES)}, "Increase", out)
    yield _rule({**metric, **_measured("LessThan", below, _IN_MINUTES)}, "Decrease", into)


def _measured(operator: str, threshold: float, minutes: int) -> dict[str, Any]:
    how = {"timeGrain": "PT1M", "statistic": "Average", "timeAggregation": "Average"}
    return {**how, "timeWindow": f"PT{minutes}M", "operator": operator, "threshold": threshold}


def _rule(trigger: Body, direction: str, seconds: int) -> dict[str, Any]:
    action = {"direction": direction, "type": "ChangeCount", "value": "1"}
    return {"metricTrigger": trigger, "scaleAction": {**action, "cooldown": _duration(seconds)}}


def _recurrence(time: Weekly, zone: str) -> dict[str, Any]:
    schedule: dict[str, Any] = {"timeZone": zone, "days": list(time.days)}
    schedule |= {"hours": [time.hour], "minutes": [time.minute]}
    return {"frequency": "Week", "schedule": schedule}


def _days(time: Weekly) -> str:
    return "daily" if time.days == DAYS else " ".join(day[:3] for day in time.days)


def _duration(seconds: int) -> str:
    """As ISO 8601 has it, and the SDK writes it: PT5M."""
    hours, rest = divmod(seconds, 3600)
    parts = ((hours, "H"), (rest // 60, "M"), (rest % 60, "S"))
    return "PT" + "".join(f"{value}{unit}" for value, unit in parts if value)
