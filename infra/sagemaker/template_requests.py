"""The requests with which `deploy` makes an endpoint and what it stands on, for a template: those
that `desired` makes, with placeholders where a value is known when the template is deployed.

Names of a model and a configuration say their content, which a template cannot reckon: there, the
cloud or the tool names them. So `deploy` leaves alone what a template has made of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.sagemaker.alarms import P95_TAG
from onnxferry.infra.sagemaker.alarms import requests as requests_of_alarms
from onnxferry.infra.sagemaker.blue_green import guarded, refuse_too_few
from onnxferry.infra.sagemaker.desired import DesiredState, bucket, desired, rehearsed_p95
from onnxferry.infra.sagemaker.image import image
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, TEMPLATE_TAG, VERSION_TAG, Names, tags
from onnxferry.infra.sagemaker.role_policy import execution_role, role_policy
from onnxferry.infra.sagemaker.scaling.capacity import target
from onnxferry.infra.sagemaker.scaling.requests import ScaledVariant, is_step
from onnxferry.infra.sagemaker.scaling.requests import wanted as wanted_scaling
from onnxferry.infra.target_tables.sagemaker import (
    Async,
    Capture,
    Network,
    RealTime,
    SageMaker,
    Serverless,
)
from onnxferry.infra.target_tables.scaling import Scaling
from onnxferry.infra.target_tables.table import Table
from onnxferry.infra.templates.paths import Path, found, placed
from onnxferry.infra.templates.placeholders import Parameter, placeholder, plain, replaced
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package
from onnxferry.system.errors import UsageError

_TEXTS = {
    "EndpointName": "Name of the endpoint, which all else is named by.",
    "Bucket": "Bucket for packages that is there; empty: onnxferry-ACCOUNT-REGION is made.",
    "Role": "ARN of an execution role that is there; empty: one is made with least privilege.",
    "PackageUrl": "The package (s3://BUCKET/KEY/model.tar.gz); empty: bucket and role alone.",
    "Version": "What the tag onnxferry:version says; of the kit, 12 digits of the package's hash.",
    "Image": "URI of the container's image.",
}
UNKNOWN = "unknown"  # a tag's value must say something
THRESHOLD = "LatencyThreshold"
_ABOUT_LATENCY = (
    "Microseconds: an update is rolled back where the latency's p95 is more. Default: by the"
    " package's rehearsal, or 60 s, which is never reached."
)
_NEVER_MS = 60_000.0  # SageMaker ends a request after that
_PLACE = ("EndpointName", "Region", "AccountId", "Partition")
_CONFIG, _VARIANT = "create_endpoint_config", ("ProductionVariants", 0)
_MEMORY: Path = (*_VARIANT, "ServerlessConfig", "MemorySizeInMB")
_ASYNC: Path = ("AsyncInferenceConfig", "ClientConfig", "MaxConcurrentInvocationsPerInstance")
_TRACKING: Path = ("TargetTrackingScalingPolicyConfiguration", "TargetValue")
# what becomes a parameter, where there is such a request: its operation, the place in it, and the
# key of deploy.toml
_LIFTED: Mapping[str, tuple[str, Path, type[Table], str]] = {
    "InstanceType": (_CONFIG, (*_VARIANT, "InstanceType"), RealTime, "instance_type"),
    "InstanceCount": (_CONFIG, (*_VARIANT, "InitialInstanceCount"), RealTime, "instance_count"),
    "MemorySizeInMB": (_CONFIG, _MEMORY, Serverless, "memory_mb"),
    "MaxConcurrency": (
        _CONFIG,
        (*_VARIANT, "ServerlessConfig", "MaxConcurrency"),
        Serverless,
        "max_concurrency",
    ),
    "ProvisionedConcurrency": (
        _CONFIG,
        (*_VARIANT, "ServerlessConfig", "ProvisionedConcurrency"),
        Serverless,
        "provisioned_concurrency",
    ),
    "ConcurrentInvocations": (_CONFIG, _ASYNC, Async, "concurrency"),
    "CapturePercent": (
        _CONFIG,
        ("DataCaptureConfig", "InitialSamplingPercentage"),
        Capture,
        "percent",
    ),
    "Subnets": ("create_model", ("VpcConfig", "Subnets"), Network, "subnets"),
    "SecurityGroups": (
        "create_model",
        ("VpcConfig", "SecurityGroupIds"),
        Network,
        "security_groups",
    ),
    "MinCapacity": ("register_scalable_target", ("MinCapacity",), Scaling, "min"),
    "MaxCapacity": ("register_scalable_target", ("MaxCapacity",), Scaling, "max"),
    "ScalingTarget": ("put_scaling_policy", _TRACKING, Scaling, "target"),
}


@dataclass(frozen=True)
class Asked:
    """One request that `deploy` sends."""

    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Requests:
    """All of them, with the parameters that stand in them, or decide which are sent."""

    parameters: tuple[Parameter, ...]
    asked: tuple[Asked, ...]

    def of(self, operation: str) -> list[Mapping[str, Any]]:
        """The parameters of each request of an operation."""
        return [one.parameters for one in self.asked if one.operation == operation]


def requests(names: Names, package: Package, key: str = "") -> Requests:
    """Those for `package`, which need not be built, with the values of `names` as defaults; `key`
    is the KMS key of its bucket. Raises UsageError where no image suits it."""
    uri = image(names.settings, names.region, package.python)
    own = {"EndpointName": names.endpoint, "Bucket": names.settings.bucket or ""}
    own |= {"Role": names.settings.role or "", "PackageUrl": "", "Version": UNKNOWN, "Image": uri}
    parameters = [Parameter(name, value, _TEXTS[name]) for name, value in own.items()]
    asked, lifted = _lifted(tuple(_asked(names, package, key)))
    if any(map(_is_latency, asked)):
        most_ms = (rehearsed_p95(package) or 0) * names.settings.rollout.latency_factor
        microseconds = round(min(most_ms or _NEVER_MS, _NEVER_MS) * 1000)
        lifted = [*lifted, Parameter(THRESHOLD, microseconds, _ABOUT_LATENCY)]
    return Requests((*parameters, *lifted), tuple(map(_marked, asked)))


def _asked(real: Names, package: Package, key: str) -> Iterator[Asked]:
    settings = real.settings
    made, given = _names(settings), _names(settings, Bucket="bucket", Role="role", Image="image")
    unbuilt = replace(package, sha256="")
    wanted = desired(given, Bundle(unbuilt, Golden(Request(b""), None)))
    its_bucket = bucket(made)
    yield Asked("create_bucket", its_bucket["create"])
    for operation, request in its_bucket["settings"]:
        yield Asked(operation, request)
    yield Asked("create_role", execution_role(made))
    yield Asked("put_role_policy", role_policy(given, key))
    known_later = {
        wanted.model["ModelName"]: placeholder("Model"),
        wanted.config["EndpointConfigName"]: placeholder("EndpointConfig"),
        wanted.package.url: placeholder("PackageUrl"),
    }
    for operation, request in _hosting(given, wanted):
        yield Asked(operation, replaced(request, known_later))
    if settings.scaling:
        for variant in wanted.config["ProductionVariants"]:
            value = target(settings, variant, package, None).value
            yield from _scaling(wanted_scaling(replace(given, now=real.now), variant, value))


def _scaling(scaled: ScaledVariant) -> Iterator[Asked]:
    """Autoscaling of one variant; an alarm makes its step policy add the first instance."""
    limits = {"MinCapacity": scaled.least, "MaxCapacity": scaled.most}
    registered = {**scaled.id, **limits, "Tags": dict(scaled.tags)}
    yield Asked("register_scalable_target", registered)
    for action in scaled.schedule:
        yield Asked("put_scheduled_action", {**scaled.id, **action})
    for policy in scaled.policies:
        put = Asked("put_scaling_policy", {**scaled.id, **policy})
        yield put
        if scaled.alarm and is_step(policy):
            acts = {"AlarmActions": [placeholder(logical(put))]}
            own = {"Tags": tags({ENDPOINT_TAG: scaled.tags[ENDPOINT_TAG]})}
            yield Asked("put_metric_alarm", {**scaled.alarm, **acts, **own})


def _hosting(names: Names, wanted: DesiredState) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What needs the package."""
    if names.settings.rollout.shadow:
        raise UsageError(
            "sagemaker.rollout.shadow is of `deploy`: a template has one version. Leave it out"
        )
    yield "create_model", wanted.model
    yield _CONFIG, wanted.config
    watched = replace(wanted.watched, config=placeholder("EndpointConfig"), p95_ms=_NEVER_MS)
    alarms = list(map(_own_alarm, requests_of_alarms(names, watched, {})))
    yield from (("put_metric_alarm", alarm) for alarm in alarms)
    yield "create_endpoint", _endpoint(names, wanted, [alarm["AlarmName"] for alarm in alarms])


def _own_alarm(alarm: Mapping[str, Any]) -> Mapping[str, Any]:
    """Named by the endpoint, for a template changes what its one alarm watches; that of the latency
    with the parameter's threshold, which differs each time that the package is rehearsed."""
    config, endpoint = placeholder("EndpointConfig"), placeholder("EndpointName")
    named = {**alarm, "AlarmName": alarm["AlarmName"].replace(config, endpoint)}
    if not _is_latency(Asked("put_metric_alarm", alarm)):
        return named
    tagged = [tag for tag in alarm["Tags"] if tag["Key"] != P95_TAG]
    threshold = placeholder(THRESHOLD)
    said = f"p95 of the latency is over {threshold} microseconds"
    return {**named, "Threshold": threshold, "AlarmDescription": said, "Tags": tagged}


def _is_latency(one: Asked) -> bool:
    return one.parameters.get("MetricName") == "ModelLatency"


def _endpoint(names: Names, wanted: DesiredState, alarms: list[str]) -> dict[str, Any]:
    """CreateEndpoint, with the DeploymentConfig of the updates after it."""
    rollout, seconds = names.settings.rollout, names.settings.wait_minutes * 60
    serverless = isinstance(names.settings.serving, Serverless)
    refuse_too_few(rollout, getattr(names.settings.serving, "instance_count", 1))
    watching = [] if serverless else [*alarms, *rollout.other_alarms]
    kept = {"RetainAllVariantProperties": True} if names.settings.scaling else {}
    return {
        "EndpointName": names.endpoint,
        "EndpointConfigName": wanted.config["EndpointConfigName"],
        "DeploymentConfig": guarded(rollout, watching, seconds),
        **kept,  # the numbers of instances that autoscaling has chosen
        "Tags": names.tags(),
    }


def _names(settings: SageMaker, **given: str) -> Names:
    """Names with placeholders, in an account where `given` are given."""
    there = {key: placeholder(name) for name, key in given.items()}
    others = {key: None for key in ("bucket", "role", "image") if key not in there}
    endpoint, region, account, partition = map(placeholder, _PLACE)
    return Names(
        endpoint, region, account, partition, settings.model_copy(update={**others, **there})
    )


def _lifted(asked: tuple[Asked, ...]) -> tuple[list[Asked], list[Parameter]]:
    """The requests with a placeholder for each value that becomes a parameter."""
    parameters: dict[str, Parameter] = {}
    for name, (operation, place, table, key) in _LIFTED.items():
        for i, one in enumerate(asked):
            value = found(one.parameters, place)
            if one.operation != operation or value is None or name in parameters:
                continue
            default = tuple(value) if isinstance(value, list) else value
            parameters[name] = Parameter(name, default, *_of_key(table, key))
            with_it = placed(one.parameters, place, placeholder(name))
            asked = (*asked[:i], Asked(operation, with_it), *asked[i + 1 :])
    return list(asked), list(parameters.values())


def _of_key(table: type[Table], key: str) -> tuple[str, tuple[Any, ...]]:
    field = table.model_fields[key]
    choices = tuple(v for v in get_args(field.annotation) if isinstance(v, int))
    return " ".join((field.description or "").split()), choices


def _marked(one: Asked) -> Asked:
    """With the tags that say which template made it, and what serves, where the request has tags
    of ours."""
    of_version = {VERSION_TAG: placeholder("Version")} if one.operation in _KINDS else {}
    own = {**of_version, TEMPLATE_TAG: placeholder("Template")}
    if isinstance(there := one.parameters.get("Tags"), Mapping):
        return Asked(one.operation, {**one.parameters, "Tags": {**there, **own}})
    for place in (("Tags",), ("Tagging", "TagSet")):
        if (there := found(one.parameters, place)) and isinstance(there, list):
            return Asked(one.operation, placed(one.parameters, place, [*there, *tags(own)]))
    return one


_KINDS = {
    "create_model": "Model",
    "create_endpoint_config": "EndpointConfig",
    "create_endpoint": "Endpoint",
    "register_scalable_target": "ScalableTarget",
    "put_scaling_policy": "ScalingPolicy",
    "put_scheduled_action": "ScheduledAction",
    "put_metric_alarm": "Alarm",
}
_NAMED = ("PolicyName", "ScheduledActionName", "AlarmName")


def logical(one: Asked) -> str:
    """The name of what a request makes within a template: its kind, and what tells it from others
    of its kind."""
    variant = one.parameters.get("ResourceId", "").rpartition("/")[2]
    named = next((v for k, v in one.parameters.items() if k in _NAMED), "")
    said = f"{variant} {plain(named).removeprefix('onnxferry')}"
    words = re.findall(r"[A-Za-z0-9]+", said)
    return _KINDS[one.operation] + "".join(word[0].upper() + word[1:] for word in words)
