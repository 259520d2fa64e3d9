"""How the traffic moves from the old instances to the new ones: SageMaker's blue/green update, all
at once, by a canary or in linear steps, watched by alarms that take it back."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from onnxferry.infra.target_tables.rollout import LONGEST_SECONDS, SageMakerRollout
from onnxferry.system.errors import UsageError

_SHORTEST_SECONDS = 600
_SIZES = {"canary": ("CANARY", "CanarySize"), "linear": ("LINEAR", "LinearStepSize")}


def at_once() -> dict[str, Any]:
    """DeploymentConfig of an update that nothing delays: back to what has proved itself."""
    traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 0}
    return {"BlueGreenUpdatePolicy": policy}


def guarded(rollout: SageMakerRollout, alarms: Collection[str], seconds: float) -> dict[str, Any]:
    """DeploymentConfig of an update as `rollout` says, watched by `alarms`; `seconds` is how long
    it may take beside its waits."""
    last = last_wait(rollout, bool(alarms))
    policy: dict[str, Any] = {
        "TrafficRoutingConfiguration": _traffic(rollout),
        "TerminationWaitInSeconds": last,
    }
    if longest := waited(rollout, bool(alarms)):
        most = min(LONGEST_SECONDS, longest + round(seconds))
        policy["MaximumExecutionTimeoutInSeconds"] = max(_SHORTEST_SECONDS, most)
    if not alarms:
        return {"BlueGreenUpdatePolicy": policy}
    named = [{"AlarmName": name} for name in alarms]
    return {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": named}}


def _traffic(rollout: SageMakerRollout) -> dict[str, Any]:
    if rollout.traffic == "all_at_once":
        return {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    kind, key = _SIZES[rollout.traffic]
    size = {"Type": "CAPACITY_PERCENT", "Value": rollout.step_percent}
    return {"Type": kind, key: size, "WaitIntervalInSeconds": rollout.wait_seconds}


def last_wait(rollout: SageMakerRollout, watched: bool) -> int:
    """Seconds for which the alarms are watched when all traffic has moved, before the old instances
    end."""
    given = rollout.termination_wait_seconds
    return (rollout.wait_seconds if watched else 0) if given is None else given


def waited(rollout: SageMakerRollout, watched: bool = True) -> int:
    """Seconds that an update waits, all in all."""
    return rollout.step_seconds + last_wait(rollout, watched)


def waits(deployment: Mapping[str, Any]) -> int:
    """Seconds that an update with this DeploymentConfig waits, all in all."""
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    traffic, last = policy.get("TrafficRoutingConfiguration", {}), "TerminationWaitInSeconds"
    step = traffic.get("LinearStepSize", {}).get("Value")
    steps = math.ceil(100 / step) - 1 if step else int("CanarySize" in traffic)
    return int(steps * traffic.get("WaitIntervalInSeconds", 0) + policy.get(last, 0))


def watched(deployment: Mapping[str, Any]) -> list[str]:
    """The names of the alarms that a DeploymentConfig has."""
    named = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [alarm["AlarmName"] for alarm in named]


def step_text(rollout: SageMakerRollout) -> str:
    """How the traffic will move, in words."""
    if rollout.traffic == "all_at_once":
        return "all traffic at once"
    some = f"{rollout.step_percent} % of the instances, one at least,"
    if rollout.traffic == "canary":
        return f"{some} get traffic first, and all of them after {rollout.wait_seconds} s"
    return f"{some} more get traffic every {rollout.wait_seconds} s"


def refuse_too_few(rollout: SageMakerRollout, count: int) -> None:
    """Raise UsageError where `count` instances are too few to move a part of the traffic: a step
    has at least one instance, and at most half of them."""
    if rollout.traffic != "all_at_once" and count < 2:
        raise UsageError(
            f'sagemaker.rollout.traffic = "{rollout.traffic}" needs at least 2 instances, since'
            f" SageMaker moves at most half of them at a time; {count} will run. Set"
            ' sagemaker.serving.instance_count = 2, or rollout.traffic = "all_at_once"'
        )


def refuse_other_variants(
    rollout: SageMakerRollout, old: Collection[str], new: Collection[str]
) -> None:
    """Raise UsageError where the names of the production variants change: SageMaker then moves all
    traffic at once, and watches nothing."""
    if rollout.traffic != "all_at_once" and set(old) != set(new):
        raise UsageError(
            f'sagemaker.rollout.traffic = "{rollout.traffic}": the production variants change from'
            f" {', '.join(old)} to {', '.join(new)}, and SageMaker moves traffic in steps only"
            " where their names stay. Change them in a deployment of its own, with --set"
            " rollout.traffic=all_at_once"
        )
