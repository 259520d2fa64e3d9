"""Application Auto Scaling as its documentation has it, for SageMaker's endpoints: scalable targets
with their policies, scheduled actions and tags, and an autoscaler that changes what runs between
two calls. Names of the alarms that a target tracking policy makes are kept, not the alarms."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.aws.answers import Refusal, validation

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
_RESOURCE = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_METRICS = {
    "SageMakerVariantInvocationsPerInstance": INSTANCES,
    "SageMakerVariantProvisionedConcurrencyUtilization": CONCURRENCY,
}
_PAGE = 2  # so that a client must turn pages; AWS has 50
_POLICY = "TargetTrackingScalingPolicyConfiguration"
_STEPS = "StepScalingPolicyConfiguration"
Asked = Mapping[str, Any]
Key = tuple[str, str]


@dataclass
class ScalableTarget:
    """A variant with its limits, and policies and scheduled actions by name."""

    resource: str
    dimension: str
    least: int
    most: int
    arn: str
    tags: dict[str, str] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> dict[str, str]:
        return {
            "ServiceNamespace": "sagemaker",
            "ResourceId": self.resource,
            "ScalableDimension": self.dimension,
        }


class ScalableTargets(dict[Key, ScalableTarget]):
    """By resource and dimension. `demand` gives how many instances each look at an endpoint finds
    wanted, None for no more than there are. `unseen` is how many calls do not know a new target
    yet. `outlives`: whoever deletes an endpoint may not deregister its targets, so that they stay.
    """

    def __init__(self, endpoints: Any, place: str) -> None:
        super().__init__()
        self.demand: Iterator[int | None] = iter(())
        self.unseen = 0
        self.outlives = False
        self._endpoints, self._place = endpoints, place  # "REGION:ACCOUNT"

    def operations(self) -> Mapping[str, Callable[[Asked], Any]]:
        """By service, too: others have operations of the same names."""
        table: Mapping[str, Callable[[Asked], Any]] = {
            "RegisterScalableTarget": self.register,
            "DeregisterScalableTarget": self.deregister,
            "DescribeScalableTargets": self.describe,
            "PutScalingPolicy": self.put_policy,
            "DescribeScalingPolicies": lambda asked: self._described(asked, "ScalingPolicies"),
            "DeleteScalingPolicy": self.delete_policy,
            "PutScheduledAction": self.put_action,
            "DescribeScheduledActions": lambda asked: self._described(asked, "ScheduledActions"),
            "DeleteScheduledAction": self.delete_action,
            "ListTagsForResource": self.tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }
        return {f"application-autoscaling.{name}": done for name, done in table.items()}

    def scaled(self, endpoint: str) -> set[str]:
        """Names of an endpoint's variants that are registered."""
        return {_variant(target)[1] for target in self._of(endpoint)}

    def gone(self, endpoint: str) -> None:
        """Its targets are deregistered with an endpoint, without a word."""
        for target in [] if self.outlives else self._of(endpoint):
            del self[target.resource, target.dimension]

    def act(self, endpoint: str) -> None:
        """What the autoscaler does of itself when an endpoint is looked at."""
        for target in self._of(endpoint):
            if (wanted := next(self.demand, None)) is not None:
                self._resize(target, wanted)

    def run(self, action: str) -> None:
        """The time of a scheduled action has come."""
        for target in self.values():
            for found in (a for name, a in target.actions.items() if name == action):
                limits = found["ScalableTargetAction"]
                target.least = limits.get("MinCapacity", target.least)
                target.most = limits.get("MaxCapacity", target.most)
                self._resize(target, self._running(target))

    def register(self, asked: Asked) -> Any:
        key = _key(asked)
        self._check_variant(*key)
        target = self.get(key)
        least = asked.get("MinCapacity", target.least if target else None)
        most = asked.get("MaxCapacity", target.most if target else None)
        if least is None or most is None:
            raise validation("MinCapacity and MaxCapacity are required for a new scalable target.")
        if not 0 <= least <= most:
            raise validation("Maximum capacity cannot be less than minimum capacity")
        if least == 0 and not self._endpoint(key[0]).asynchronous:
            raise validation("MinCapacity must be at least 1 for this resource.")
        if target is None:  # AWS takes tags at the creation alone
            name = f"scalable-target/{uuid.uuid4().hex[:24]}"
            arn = f"arn:aws:application-autoscaling:{self._place}:{name}"
            target = self[key] = ScalableTarget(*key, least, most, arn, dict(asked.get("Tags", {})))
        target.least, target.most = least, most
        self._resize(target, self._running(target))
        return {"ScalableTargetARN": target.arn}

    def deregister(self, asked: Asked) -> Any:
        target = self._known(asked)
        del self[target.resource, target.dimension]
        return {}

    def describe(self, asked: Asked) -> Any:
        resources = asked.get("ResourceIds")
        if "ScalableDimension" in asked and not resources:
            raise validation("If you specify a scalable dimension, you must specify a resource ID.")
        found = [
            {
                **target.id,
                "MinCapacity": target.least,
                "MaxCapacity": target.most,
                "RoleARN": "arn:aws:iam::123456789012:role/aws-service-role/sagemaker",
                "CreationTime": 0.0,
                "ScalableTargetARN": target.arn,
            }
            for target in self.values()
            if not resources or target.resource in resources
        ]
        return _page(asked, "ScalableTargets", found)

    def put_policy(self, asked: Asked) -> Any:
        target, name = self._known(asked), asked["PolicyName"]
        there = target.policies.get(name, {})
        kind = asked.get("PolicyType", there.get("PolicyType"))
        if kind == "TargetTrackingScaling" and _POLICY in asked:
            self._check_tracking(target, name, asked[_POLICY])
        elif kind == "StepScaling" and _STEPS in asked:
            if not asked[_STEPS].get("AdjustmentType") or not asked[_STEPS].get("StepAdjustments"):
                raise validation("A new step policy needs AdjustmentType and StepAdjustments.")
        else:
            raise validation(f"The policy configuration does not match the policy type: {kind}.")
        arn = there.get("PolicyARN") or (
            f"arn:aws:autoscaling:{self._place}:scalingPolicy:{uuid.uuid4()}:resource/sagemaker"
            f"/{target.resource}:policyName/{name}"
        )
        given = {k: v for k, v in asked.items() if k not in target.id}
        policy = {**given, "PolicyType": kind, "PolicyARN": arn, "CreationTime": 0.0}
        target.policies[name] = {**policy, "Alarms": _alarms(target, kind)}
        return {"PolicyARN": arn, "Alarms": target.policies[name]["Alarms"]}

    def delete_policy(self, asked: Asked) -> Any:
        self._delete(self._known(asked).policies, asked["PolicyName"], "scaling policy", asked)
        return {}

    def put_action(self, asked: Asked) -> Any:
        target, name = self._known(asked), asked["ScheduledActionName"]
        action = {**target.actions.get(name, {}), **asked}
        if "Schedule" not in action or not action.get("ScalableTargetAction"):
            raise validation("A scheduled action needs Schedule and ScalableTargetAction.")
        limits = action["ScalableTargetAction"]
        if limits.get("MinCapacity", 0) > limits.get("MaxCapacity", 10**6):
            raise validation("Maximum capacity cannot be less than minimum capacity")
        arn = f"arn:aws:autoscaling:{self._place}:scheduledAction:{name}"
        target.actions[name] = {**action, "ScheduledActionARN": arn, "CreationTime": 0.0}
        return {}

    def delete_action(self, asked: Asked) -> Any:
        known = self._known(asked).actions
        self._delete(known, asked["ScheduledActionName"], "scheduled action", asked)
        return {}

    def tags(self, asked: Asked) -> Any:
        return {"Tags": self._with_arn(asked).tags}

    def tag(self, asked: Asked) -> Any:
        self._with_arn(asked).tags.update(asked["Tags"])
        return {}

    def untag(self, asked: Asked) -> Any:
        for key in asked["TagKeys"]:
            self._with_arn(asked).tags.pop(key, None)
        return {}

    def _described(self, asked: Asked, kind: str) -> Any:
        found: list[dict[str, Any]] = []
        for target in self.values():
            if asked.get("ResourceId", target.resource) == target.resource:
                items = target.policies if kind == "ScalingPolicies" else target.actions
                found += [{**target.id, **item} for item in items.values()]
        return _page(asked, kind, found)

    def _delete(self, known: dict[str, Any], name: str, what: str, asked: Asked) -> None:
        if name not in known:
            raise _not_found(f"No {what} found", asked, f", name: {name}")
        del known[name]

    def _check_variant(self, resource: str, dimension: str) -> None:
        name, variant = _RESOURCE.fullmatch(resource).groups()  # type: ignore[union-attr]
        fleet = self._endpoint(resource).fleets.get(variant)
        if fleet is None:
            raise validation(f"Could not find variant {variant} of endpoint {name}.")
        serverless = dimension == CONCURRENCY
        if bool(fleet.serverless) != serverless or (
            serverless and not fleet.serverless.get("ProvisionedConcurrency")
        ):
            raise validation(f"Variant {variant} of endpoint {name} has no {dimension}.")
        if re.match(r"ml\.t\d", fleet.kind):
            raise validation("Automatic scaling does not support burstable instances.")

    def _check_tracking(self, target: ScalableTarget, name: str, asked: Asked) -> None:
        kinds = [asked[k] for k in asked if k.endswith("MetricSpecification")]
        if len(kinds) != 1:
            raise validation("Specify either a predefined or a customized metric specification.")
        metric = kinds[0].get("PredefinedMetricType")
        if metric and _METRICS.get(metric) != target.dimension:
            raise validation(f"{metric} is not for scalable dimension {target.dimension}.")
        for other, policy in target.policies.items():
            if other != name and kinds[0] in policy.get(_POLICY, {}).values():
                raise validation(
                    "Only one TargetTrackingScaling policy for a given metric specification is"
                    " allowed."
                )

    def _resize(self, target: ScalableTarget, wanted: int) -> None:
        """To within the limits, by UpdateEndpointWeightsAndCapacities; nothing while the endpoint
        is not active."""
        endpoint, variant = _variant(target)
        capacity = min(max(wanted, target.least), target.most)
        found = self._endpoints.get(endpoint)
        if found is None or found.state != "InService" or capacity == self._running(target):
            return
        key = {INSTANCES: {"DesiredInstanceCount": capacity}}.get(
            target.dimension, {"ServerlessUpdateConfig": {"ProvisionedConcurrency": capacity}}
        )
        wish = {"VariantName": variant, **key}
        self._endpoints.resize({"EndpointName": endpoint, "DesiredWeightsAndCapacities": [wish]})

    def _running(self, target: ScalableTarget) -> int:
        endpoint, variant = _variant(target)
        fleet = self._endpoints[endpoint].fleets[variant]
        if target.dimension == INSTANCES:
            return int(fleet.count)
        return int(fleet.serverless["ProvisionedConcurrency"])

    def _endpoint(self, resource: str) -> Any:
        name = resource.split("/")[1]
        if name not in self._endpoints:
            raise validation(f"Could not find endpoint {name}.")
        return self._endpoints[name]

    def _of(self, endpoint: str) -> list[ScalableTarget]:
        return [target for target in self.values() if _variant(target)[0] == endpoint]

    def _known(self, asked: Asked) -> ScalableTarget:
        key = _key(asked)
        if key not in self or self.unseen:
            self.unseen = max(0, self.unseen - 1)
            raise _not_found("No scalable target registered", asked)
        return self[key]

    def _with_arn(self, asked: Asked) -> ScalableTarget:
        arn = asked["ResourceARN"]
        if target := next((t for t in self.values() if t.arn == arn), None):
            return target
        raise Refusal("ResourceNotFoundException", f"The specified resource {arn} does not exist.")


def _variant(target: ScalableTarget) -> tuple[str, str]:
    endpoint, variant = _RESOURCE.fullmatch(target.resource).groups()  # type: ignore[union-attr]
    return endpoint, variant


def _key(asked: Asked) -> Key:
    resource, dimension = asked["ResourceId"], asked["ScalableDimension"]
    known = asked["ServiceNamespace"] == "sagemaker" and _RESOURCE.fullmatch(resource)
    if not known or dimension not in (INSTANCES, CONCURRENCY):
        raise validation("Unsupported service namespace, resource type or scalable dimension")
    return resource, dimension


def _alarms(target: ScalableTarget, kind: str) -> list[dict[str, str]]:
    """Those that Application Auto Scaling makes; a step policy waits for the user's own."""
    names = ("AlarmHigh", "AlarmLow") if kind == "TargetTrackingScaling" else ()
    made = [f"TargetTracking-{target.resource}-{name}-{uuid.uuid4()}" for name in names]
    return [
        {"AlarmName": name, "AlarmARN": f"arn:aws:cloudwatch:x:1:alarm:{name}"} for name in made
    ]


def _page(asked: Asked, key: str, items: list[Any]) -> dict[str, Any]:
    start = int(asked.get("NextToken", 0))
    more = {"NextToken": str(start + _PAGE)} if start + _PAGE < len(items) else {}
    return {key: items[start : start + _PAGE], **more}


def _not_found(what: str, asked: Asked, more: str = "") -> Refusal:
    where = f"resource ID: {asked['ResourceId']}, scalable dimension: {asked['ScalableDimension']}"
    said = f"{what} for service namespace: {asked['ServiceNamespace']}, {where}{more}"
    return Refusal("ObjectNotFoundException", said)
