"""What deploy.toml says of autoscaling, as the very requests that register it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.rehearsed_capacity import number
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, KEYS_TAG, Names, digest, keys_of, tags
from onnxferry.infra.target_tables.scaling import Scaling
from onnxferry.infra.target_tables.schedules import is_over

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
_FROM_ZERO_SECONDS = 300  # between two instances that the backlog alone adds: one comes up
Request = Mapping[str, Any]


@dataclass(frozen=True)
class ScaledVariant:
    """The autoscaling of one production variant: limits, and the bodies of PutScalingPolicy,
    PutScheduledAction and PutMetricAlarm without what identifies the variant. `alarm` makes
    the step policy add the first instance, where there may be none."""

    resource: str
    dimension: str
    least: int
    most: int
    policies: Sequence[Request] = ()
    schedule: Sequence[Request] = ()
    alarm: Request | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> dict[str, str]:
        """What identifies the variant in each request."""
        return identified(self.resource, self.dimension)

    def calls(self) -> Iterator[tuple[str, Request]]:
        """What registers it, in order: operations of the SDK and their parameters. Those of the
        alarm lack AlarmActions, the ARN of the step policy, which AWS gives."""
        limits = {"MinCapacity": self.least, "MaxCapacity": self.most}
        yield "register_scalable_target", {**self.id, **limits, "Tags": self.tags}
        yield from (("put_scaling_policy", {**self.id, **one}) for one in self.policies)
        yield from (("put_scheduled_action", {**self.id, **one}) for one in self.schedule)
        if self.alarm:
            mark = {ENDPOINT_TAG: self.tags[ENDPOINT_TAG]}
            yield "put_metric_alarm", {**self.alarm, "Tags": tags(mark)}

    @property
    def variant(self) -> str:
        """The production variant's name."""
        return self.resource.rpartition("/")[2]

    @property
    def target(self) -> float | None:
        """The value that the target tracking policy keeps; None without one."""
        for policy in self.policies:
            if tracking := policy.get("TargetTrackingScalingPolicyConfiguration"):
                return float(tracking["TargetValue"])
        return None

    def __str__(self) -> str:
        """ "1 to 4 instances, 70 requests a minute each"."""
        kept = f", {number(self.target)} {self._unit}" if self.target is not None else ""
        what = "kept ready" if self.dimension == CONCURRENCY else "instances"
        timed = f", scheduled actions: {len(self.schedule)}" if self.schedule else ""
        return f"{self.least} to {self.most} {what}{kept}{timed}"

    @property
    def _unit(self) -> str:
        texts = (str(policy) for policy in self.policies)
        backlog = any("ApproximateBacklogSizePerInstance" in text for text in texts)
        if self.dimension == CONCURRENCY:
            return "of them in use"
        return "requests waiting for each" if backlog else "requests a minute each"


def identified(resource: str, dimension: str) -> dict[str, str]:
    """A scalable target, as all of its requests name it."""
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": dimension}


def prefix(endpoint: str) -> str:
    """What the ids of an endpoint's scalable targets begin with."""
    return f"endpoint/{endpoint}/variant/"


def dimension_of(variant: Request) -> str:
    """What of a production variant is scaled."""
    return CONCURRENCY if "ServerlessConfig" in variant else INSTANCES


def own_name(names: Names, what: str) -> str:
    """The name of a policy, a scheduled action or an alarm of ours."""
    return f"onnxferry-{names.endpoint}-{what}"


def is_step(policy: Request) -> bool:
    """Whether a policy waits for an alarm of ours."""
    return policy.get("PolicyType") == "StepScaling"


def wanted(names: Names, variant: Request, target: float) -> ScaledVariant:
    """Autoscaling of a production variant to `target`. The table `scaling` must be there."""
    scaling = names.settings.scaling
    if scaling is None:
        raise ValueError("no autoscaling is configured")
    zero = names.settings.serving.mode == "async" and scaling.min == 0
    given = names.settings.tags
    recorded = {KEYS_TAG: keys_of(given)} if given else {}
    return ScaledVariant(
        resource=prefix(names.endpoint) + variant["VariantName"],
        dimension=dimension_of(variant),
        least=scaling.min,
        most=scaling.max,
        policies=(_tracking(names, scaling, target), *([_from_zero(names)] if zero else [])),
        schedule=tuple(_schedule(names, scaling)),
        alarm=_backlog_alarm(names) if zero else None,
        tags={**given, ENDPOINT_TAG: names.made, **recorded},
    )


def _tracking(names: Names, scaling: Scaling, target: float) -> Request:
    return {
        "PolicyName": own_name(names, "target"),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": target,
            **_METRICS[names.settings.serving.mode](names),
            "ScaleOutCooldown": scaling.scale_out_seconds,
            "ScaleInCooldown": scaling.scale_in_seconds,
        },
    }


def _predefined(kind: str) -> Callable[[Names], Request]:
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
    return lambda names: metric


def _backlog(names: Names) -> Request:
    return {
        "CustomizedMetricSpecification": {
            **_of_endpoint(names, "ApproximateBacklogSizePerInstance"),
            "Statistic": "Average",
        }
    }


_METRICS: Mapping[str, Callable[[Names], Request]] = {
    "realtime": _predefined("SageMakerVariantInvocationsPerInstance"),
    "serverless": _predefined("SageMakerVariantProvisionedConcurrencyUtilization"),
    "async": _backlog,
}


def _of_endpoint(names: Names, metric: str) -> dict[str, Any]:
    dimensions = [{"Name": "EndpointName", "Value": names.endpoint}]
    return {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions}


def _from_zero(names: Names) -> Request:
    """Without it nothing comes up for fewer waiting requests than the target."""
    return {
        "PolicyName": own_name(names, "from-zero"),
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": _FROM_ZERO_SECONDS,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def _backlog_alarm(names: Names) -> Request:
    return {
        "AlarmName": own_name(names, "backlog"),
        "AlarmDescription": "onnxferry: requests wait, and no instance runs",
        **_of_endpoint(names, "HasBacklogWithoutCapacity"),
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
    }


def _schedule(names: Names, scaling: Scaling) -> Iterator[Request]:
    """Named by content: one that is changed is another. What is over is not put again."""
    for action in scaling.schedule:
        limits = {"MinCapacity": action.min, "MaxCapacity": action.max}
        zone = {} if action.at.startswith("rate") else {"Timezone": action.timezone}
        set_to = {key: value for key, value in limits.items() if value is not None}
        content = {"Schedule": action.at, **zone, "ScalableTargetAction": set_to}
        if not is_over(action.at, action.timezone, names.now):
            yield {"ScheduledActionName": own_name(names, digest(content)), **content}
