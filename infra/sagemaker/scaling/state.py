"""What Application Auto Scaling has of an endpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.sagemaker import alarms
from onnxferry.infra.sagemaker.alarms import AlarmState
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names
from onnxferry.infra.sagemaker.scaling.requests import (
    Request,
    ScaledVariant,
    is_step,
    own_name,
    prefix,
)

SERVICE = "application-autoscaling"
_OF_SAGEMAKER = {"ServiceNamespace": "sagemaker"}
_POLICY = (
    "PolicyName",
    "PolicyType",
    "TargetTrackingScalingPolicyConfiguration",
    "StepScalingPolicyConfiguration",
)
_ACTION = ("ScheduledActionName", "Schedule", "Timezone", "ScalableTargetAction")
_ALARM = (
    *("AlarmName", "AlarmDescription", "Namespace", "MetricName", "Dimensions", "Statistic"),
    *("Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"),
    "TreatMissingData",
)


@dataclass(frozen=True)
class FoundScaling:
    """A scalable target: `settings` holds what is ours of it, `others` are the names of policies
    and scheduled actions of others. `ours`: it has our mark."""

    arn: str
    settings: ScaledVariant
    ours: bool
    others: tuple[str, ...] = ()


def read(clients: AwsClients, names: Names) -> tuple[FoundScaling, ...]:
    """The scalable targets of the endpoint. Raises CloudError."""
    begin = prefix(names.endpoint)
    there = (target for target in targets(clients) if target["ResourceId"].startswith(begin))
    return tuple(found(clients, names, target) for target in there)


def read_if_allowed(clients: AwsClients, names: Names) -> tuple[FoundScaling, ...]:
    """As `read`; nothing where that may not be asked."""
    return clients.if_allowed(partial(read, clients, names), "autoscaling is not looked for") or ()


def targets(clients: AwsClients, resource: str = "") -> list[Any]:
    """All scalable targets of SageMaker in the account and region, or that of a `resource`."""
    one = {"ResourceIds": [resource]} if resource else {}
    where = f"scalable target {resource}" if resource else "scalable targets"
    listed = (SERVICE, "describe_scalable_targets", "ScalableTargets", where)
    return clients.pages(*listed, **_OF_SAGEMAKER, **one)


def found(clients: AwsClients, names: Names, target: Request) -> FoundScaling:
    """One target with all that belongs to it."""
    tags = tags_of(clients, target["ScalableTargetARN"])
    at = {key: target[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    policies = _items(clients, "describe_scaling_policies", "ScalingPolicies", at)
    actions = _items(clients, "describe_scheduled_actions", "ScheduledActions", at)
    own = _own(names, policies, "PolicyName"), _own(names, actions, "ScheduledActionName")
    settings = ScaledVariant(
        resource=target["ResourceId"],
        dimension=target["ScalableDimension"],
        least=target["MinCapacity"],
        most=target["MaxCapacity"],
        policies=tuple(_of(policy, _POLICY) for policy in own[0]),
        schedule=tuple(_of(action, _ACTION) for action in own[1]),
        alarm=_alarm_of(clients, names, own[0]),
        tags=tags,
    )
    ours = tags.get(ENDPOINT_TAG) == names.made
    others = tuple(_others(policies, actions, own))
    return FoundScaling(target["ScalableTargetARN"], settings, ours, others)


def tags_of(clients: AwsClients, arn: str) -> dict[str, str]:
    """The tags of a scalable target; none where it is gone."""
    asked = (SERVICE, "list_tags_for_resource", "a scalable target's tags")
    answer = clients.call_if_there(*asked, ResourceARN=arn)
    return dict(answer["Tags"]) if answer else {}


def own_alarm(clients: AwsClients, names: Names) -> tuple[AlarmState | None, bool]:
    """The alarm that a step policy waits for, if there is one of its name, and whether it is
    ours."""
    name = own_name(names, "backlog")
    there = alarms.named(clients, [name]).get(name)
    ours = there and alarms.with_tags(clients, there).tags.get(ENDPOINT_TAG) == names.made
    return there, bool(ours)


def listed(clients: AwsClients) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """Resource, tags and limits of each scalable target with our mark, whichever endpoint's."""
    for target in targets(clients):
        tags = tags_of(clients, target["ScalableTargetARN"])
        if ENDPOINT_TAG in tags and target["ResourceId"].startswith("endpoint/"):
            limits = f"{target['MinCapacity']} to {target['MaxCapacity']}"
            yield target["ResourceId"], tags, limits


def _items(clients: AwsClients, operation: str, key: str, at: Request) -> list[Any]:
    return clients.pages(SERVICE, operation, key, f"autoscaling of {at['ResourceId']}", **at)


def _own(names: Names, items: Collection[Request], key: str) -> list[Request]:
    return [item for item in items if item[key].startswith(own_name(names, ""))]


def _others(
    policies: list[Any], actions: list[Any], own: tuple[list[Request], list[Request]]
) -> Iterator[str]:
    yield from (f"policy {p['PolicyName']}" for p in policies if p not in own[0])
    yield from (f"scheduled action {a['ScheduledActionName']}" for a in actions if a not in own[1])


def _of(item: Request, keys: tuple[str, ...]) -> Request:
    """The part of a described thing that the request which made it had."""
    return {key: item[key] for key in keys if key in item}


def _alarm_of(clients: AwsClients, names: Names, policies: Collection[Request]) -> Request | None:
    """Our alarm that a step policy waits for, if there is such a policy."""
    if not any(map(is_step, policies)):
        return None
    there, ours = own_alarm(clients, names)
    return _of(there.said, _ALARM) if there and ours else None
