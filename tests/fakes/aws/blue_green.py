"""SageMaker's deployment guardrails: an update goes on by stages, a look each; a part of the
requests reaches the new instances, alarms are watched while it waits, and one that fires takes the
update back."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.fakes.aws.alarms import Alarms
from tests.fakes.aws.answers import validation
from tests.fakes.aws.fleets import Fleets, instances

_SIZES = {"CANARY": ("CanarySize", 1, 50), "LINEAR": ("LinearStepSize", 10, 50)}
_MOST_ALARMS = 10


@dataclass(frozen=True)
class Stage:
    """`percent` of the requests reach the new instances; `watched` says whether alarms are."""

    status: str
    message: str
    percent: int
    watched: bool = False


@dataclass
class Update:
    """An update that is under way: `stages` are still to come, `now` is the one that it is at, None
    before the first."""

    deployment: Mapping[str, Any]
    count: int
    stages: list[Stage]
    now: Stage | None = None
    number: int = 0
    began: float = field(default_factory=time.time)
    asked: int = 0

    def answers(self) -> bool:
        """Whether the next request reaches the new instances."""
        before, self.asked = self.asked, self.asked + 1
        percent = self.now.percent if self.now else 0
        return self.asked * percent // 100 > before * percent // 100

    def described(self) -> list[dict[str, Any]]:
        """VariantStatus."""
        at = self.now or Stage("Creating", f"Launching {self.count} instance(s).", 0)
        return [{"Status": at.status, "StatusMessage": at.message, "StartTime": self.began}]


class BlueGreen:
    """`at` holds what happens when the stage of a number (from 1) begins; `reason` is the
    FailureReason of an update that was taken back, "" as AWS may leave it."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self.at: dict[int, Callable[[], None]] = {}
        self.reason = ""

    def begun(self, deployment: Mapping[str, Any], coming: Fleets, policies: Any) -> Update:
        """An update to the fleets `coming`. Refused as AWS does; `policies` are those of the role
        that looks at the alarms."""
        count = instances(coming.values())
        policy = deployment.get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
        _check_size(routing, coming)
        for name in (watched := _watched(deployment)):
            self._check_alarm(name, policies)
        if len(watched) > _MOST_ALARMS or len(set(watched)) < len(watched):
            raise validation("Alarms must be at most 10, each once.")
        stages = list(_stages(routing, policy.get("TerminationWaitInSeconds", 0), count))
        waits = routing.get("WaitIntervalInSeconds", 0) * (len(stages) - 1)
        least = waits + policy.get("TerminationWaitInSeconds", 0)
        if policy.get("MaximumExecutionTimeoutInSeconds", math.inf) <= least:
            raise validation(
                "MaximumExecutionTimeoutInSeconds must be greater than the total waiting time"
                " specified in TerminationWaitInSeconds and WaitIntervalInSeconds."
            )
        return Update(deployment, count, stages)

    def _check_alarm(self, name: str, policies: Any) -> None:
        if not self._alarms.state(name):
            raise validation(f"Could not find alarm {name}.")
        arn = self._alarms.arn(name)
        if not any(fnmatchcase(arn, place) for place in _seen_by(policies)):
            raise validation(
                f"The execution role is not authorized to perform cloudwatch:DescribeAlarms on"
                f" {arn}."
            )

    def step(self, update: Update) -> str:
        """Go to the next stage, if there is one: "rolled back", "goes on", or "done"."""
        if not update.stages:
            return "done"
        update.now, update.number = update.stages.pop(0), update.number + 1
        self.at.get(update.number, lambda: None)()
        fired = [n for n in _watched(update.deployment) if self._alarms.state(n) == "ALARM"]
        if not (fired and update.now.watched):
            return "goes on"
        for name in fired:  # nobody asks what it watches any more
            self._alarms.quiet(name)
        return "rolled back"


def _watched(deployment: Mapping[str, Any]) -> list[str]:
    named = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [alarm["AlarmName"] for alarm in named]


def _seen_by(policies: Mapping[str, str]) -> Iterator[str]:
    """Of which alarms a role with these policies (documents) may read the state."""
    for statement in (s for text in policies.values() for s in json.loads(text)["Statement"]):
        actions, places = statement["Action"], statement["Resource"]
        listed = [actions] if isinstance(actions, str) else actions
        if any(fnmatchcase("cloudwatch:DescribeAlarms", action) for action in listed):
            yield from [places] if isinstance(places, str) else places


def _check_size(routing: Mapping[str, Any], coming: Fleets) -> None:
    key, least, most = _SIZES.get(routing["Type"], ("", 0, 0))
    given = {"CanarySize", "LinearStepSize"} & set(routing)
    if given != ({key} if key else set()):
        raise validation(f"{routing['Type']} needs {key or 'no size'}, and got {sorted(given)}.")
    if not key:
        return
    value, kind = routing[key]["Value"], routing[key]["Type"]
    for fleet in (fleet for fleet in coming.values() if not fleet.shadow):
        percent = value if kind == "CAPACITY_PERCENT" else 100 * value / max(1, fleet.count)
        if not least <= percent <= most or fleet.count < 2:  # a step has an instance at least
            raise validation(
                f"{key} must be {least} to {most} percent of the variant's total instance count,"
                f" which is {fleet.count}; got {value} ({kind})."
            )


def _stages(routing: Mapping[str, Any], last: int, count: int) -> Iterator[Stage]:
    kind, wait = routing["Type"], routing.get("WaitIntervalInSeconds", 0)
    size = routing.get(_SIZES[kind][0], {})["Value"] if kind in _SIZES else 100
    for percent in {"CANARY": [size], "LINEAR": range(size, 100, size)}.get(kind, ()):
        part = max(1, count * percent // 100)
        yield _baking(wait, "WaitIntervalInSeconds", f"canary capacity of {part}", percent)
    if last or kind in _SIZES:
        yield _baking(last, "TerminationWaitInSeconds", f"full capacity of {count}", 100)


def _baking(seconds: int, key: str, where: str, percent: int) -> Stage:
    said = f"Baking for {seconds} seconds ({key}) with traffic enabled on {where} instance(s)."
    return Stage("Baking", said, percent, watched=seconds > 0)
