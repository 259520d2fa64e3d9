"""An endpoint, and what it stands on, as a Terraform configuration of the very requests that
`deploy` sends. Without a package's URL it makes bucket and role; with one, all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from onnxferry.infra.sagemaker.names import values_of
from onnxferry.infra.sagemaker.template_requests import Asked, Requests, logical
from onnxferry.infra.templates.placeholders import placeholder
from onnxferry.infra.templates.terraform import Configuration, arguments, expression, snake

_BUCKET, _ROLE, _MODEL, _CONFIG, _ENDPOINT = (
    "aws_s3_bucket",
    "aws_iam_role",
    "aws_sagemaker_model",
    "aws_sagemaker_endpoint_configuration",
    "aws_sagemaker_endpoint",
)
_ALARM = "aws_cloudwatch_metric_alarm"
_TARGET = "aws_appautoscaling_target"
_PACKAGES, _EXECUTION, _SERVED = "packages", "execution", "endpoint"
_LOCALS = {
    "bucket": expression(f"coalesce(var.bucket, one({_BUCKET}.{_PACKAGES}[*].id))"),
    "template": "terraform",
    "role": expression(f"coalesce(var.role, one({_ROLE}.{_EXECUTION}[*].arn))"),
}
_VALUES = {
    "Bucket": "local.bucket",
    "Role": "local.role",
    "Model": f"one({_MODEL}.{_SERVED}[*].name)",
    "EndpointConfig": f"one({_CONFIG}.{_SERVED}[*].name)",
    "RoleName": f"one({_ROLE}.{_EXECUTION}[*].name)",
    "Template": "local.template",
}
_OUTPUTS = {
    "bucket": {"value": expression("local.bucket"), "description": "Bucket for packages."},
    "role": {"value": expression("local.role"), "description": "The execution role."},
    "endpoint": {
        "value": expression(f"one({_ENDPOINT}.{_SERVED}[*].name)"),
        "description": "Name of the endpoint.",
    },
}
_MAKES_BUCKET = {"count": placeholder("MakesBucket")}
_MAKES_ROLE = {"count": placeholder("MakesRole")}
_HAS_PACKAGE = {"count": placeholder("HasPackage")}
_COUNTS = {
    "MakesBucket": 'var.bucket == "" ? 1 : 0',
    "MakesRole": 'var.role == "" ? 1 : 0',
    "HasPackage": 'var.package_url == "" ? 0 : 1',
}
_STEPS = "StepScalingPolicyConfiguration"
_FEW = "EvaluateLowSampleCountPercentile"  # which the provider names in the plural
_NEW_FIRST = {"lifecycle": {"create_before_destroy": True}}
Arguments = dict[str, Any]


def configuration(asked: Requests) -> Configuration:
    """The configuration that makes what these requests make."""
    resources: dict[str, dict[str, Any]] = {}
    for kind, name, found in (*_bucket(asked), *_role(asked), *_hosting(asked)):
        resources.setdefault(kind, {})[name] = found
    policies = {
        logical(one): f"one(aws_appautoscaling_policy.{_label(one)}[*].arn)"
        for one in asked.asked
        if one.operation == "put_scaling_policy"
    }
    values = {**_VALUES, **_COUNTS, **policies}
    return Configuration(asked.parameters, _LOCALS, resources, _OUTPUTS, values)


def _bucket(asked: Requests) -> Iterator[tuple[str, str, Arguments]]:
    """The provider has a resource for each call that sets a bucket up."""
    (create,), (tagged,) = asked.of("create_bucket"), asked.of("put_bucket_tagging")
    mine = {"tags": values_of(tagged["Tagging"]["TagSet"])}
    yield _BUCKET, _PACKAGES, {**_MAKES_BUCKET, "bucket": create["Bucket"], **mine}
    of_it = {**_MAKES_BUCKET, "bucket": placeholder("Bucket")}
    (public,) = asked.of("put_public_access_block")
    block = arguments(public["PublicAccessBlockConfiguration"])
    yield "aws_s3_bucket_public_access_block", _PACKAGES, {**of_it, **block}
    (encryption,) = asked.of("put_bucket_encryption")
    rules = [_encryption(r) for r in encryption["ServerSideEncryptionConfiguration"]["Rules"]]
    kind = "aws_s3_bucket_server_side_encryption_configuration"
    yield kind, _PACKAGES, {**of_it, "rule": rules}
    (lifecycle,) = asked.of("put_bucket_lifecycle_configuration")
    rules = arguments(lifecycle["LifecycleConfiguration"]["Rules"])
    yield "aws_s3_bucket_lifecycle_configuration", _PACKAGES, {**of_it, "rule": rules}


def _encryption(rule: Mapping[str, Any]) -> Arguments:
    by_default = arguments(rule["ApplyServerSideEncryptionByDefault"])
    return {"apply_server_side_encryption_by_default": by_default}


def _role(asked: Requests) -> Iterator[tuple[str, str, Arguments]]:
    (create,), (policy,) = asked.of("create_role"), asked.of("put_role_policy")
    found = {
        "name": create["RoleName"],
        "assume_role_policy": _document(create["AssumeRolePolicyDocument"]),
        "description": create["Description"],
        "tags": values_of(create["Tags"]),
    }
    if boundary := create.get("PermissionsBoundary"):
        found["permissions_boundary"] = boundary
    yield _ROLE, _EXECUTION, {**_MAKES_ROLE, **found}
    allowed = {"name": "onnxferry", "policy": _document(policy["PolicyDocument"])}
    role = {"role": placeholder("RoleName")}
    yield "aws_iam_role_policy", _EXECUTION, {**_MAKES_ROLE, **role, **allowed}


def _document(text: str) -> str:
    """A policy, in which placeholders stand as they are."""
    return json.dumps(json.loads(text), ensure_ascii=False)


def _hosting(asked: Requests) -> Iterator[tuple[str, str, Arguments]]:
    """What needs the package."""
    there: dict[str, list[str]] = {}
    for one in asked.asked:
        if kind := _KINDS.get(one.operation):
            resource, made, after = kind
            order = {"depends_on": there[after]} if after in there else {}
            yield resource, _label(one), {**_HAS_PACKAGE, **made(one.parameters), **order}
            before = there.get(resource, [])
            there[resource] = [*before, f"{resource}.{_label(one)}"]


def _label(one: Asked) -> str:
    """The name of a resource within the configuration."""
    single = {"create_model", "create_endpoint_config", "create_endpoint"}
    return _SERVED if one.operation in single else snake(logical(one))


def _model(request: Mapping[str, Any]) -> Arguments:
    """Without a name: Terraform gives each new one another."""
    container = request["PrimaryContainer"]
    own = {**arguments(container), "environment": dict(container["Environment"])}
    others = _plain(request, "ModelName", "PrimaryContainer")
    return {**others, "primary_container": own, **_NEW_FIRST}


def _config(request: Mapping[str, Any]) -> Arguments:
    found = _plain(request, "EndpointConfigName", "KmsKeyId")
    key = {"kms_key_arn": request["KmsKeyId"]} if "KmsKeyId" in request else {}
    return {**found, **key, **_NEW_FIRST}


def _endpoint(request: Mapping[str, Any]) -> Arguments:
    """The provider keeps no number of instances that somebody or autoscaling has chosen."""
    kept = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties")
    return {"name": request["EndpointName"], **_plain(request, "EndpointName", *kept)}


def _target(request: Mapping[str, Any]) -> Arguments:
    tags = {"tags": dict(request["Tags"])} if "Tags" in request else {}
    return {**arguments({k: v for k, v in request.items() if k != "Tags"}), **tags}


def _policy(request: Mapping[str, Any]) -> Arguments:
    """Its steps are blocks, which the provider names in the singular."""
    others = {k: v for k, v in request.items() if k not in ("PolicyName", _STEPS)}
    steps = {_STEPS: _singular(request[_STEPS])} if _STEPS in request else {}
    return {"name": request["PolicyName"], **arguments({**others, **steps})}


def _singular(steps: Mapping[str, Any]) -> dict[str, Any]:
    others = {k: v for k, v in steps.items() if k != "StepAdjustments"}
    return {**others, "StepAdjustment": steps["StepAdjustments"]}


def _action(request: Mapping[str, Any]) -> Arguments:
    found = arguments({k: v for k, v in request.items() if k != "ScheduledActionName"})
    return {"name": request["ScheduledActionName"], **found}


def _alarm(request: Mapping[str, Any]) -> Arguments:
    found = _plain(request, "Metrics", _FEW)
    if _FEW in request:
        found["evaluate_low_sample_count_percentiles"] = request[_FEW]
    if "Dimensions" in request:
        found["dimensions"] = _dimensions(request)
    if "Metrics" in request:
        found["metric_query"] = [_query(one) for one in request["Metrics"]]
    return found


def _query(one: Mapping[str, Any]) -> Arguments:
    found: Arguments = arguments({k: v for k, v in one.items() if k != "MetricStat"})
    if stat := one.get("MetricStat"):
        metric = {k: v for k, v in stat["Metric"].items() if k != "Dimensions"}
        others = {k: v for k, v in stat.items() if k != "Metric"}
        own = {**arguments({**metric, **others}), "dimensions": _dimensions(stat["Metric"])}
        found["metric"] = own
    return found


def _dimensions(metric: Mapping[str, Any]) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}


def _plain(request: Mapping[str, Any], *but: str) -> Arguments:
    """Parameters as arguments, with tags as a map."""
    others = {k: v for k, v in request.items() if k not in (*but, "Tags")}
    tags = {"tags": values_of(request["Tags"])} if "Tags" in request else {}
    return {**arguments(others), **tags}


# the provider's resource, its arguments, and after which resources it is made
_KINDS: Mapping[str, tuple[str, Callable[..., Arguments], str]] = {
    "create_model": (_MODEL, _model, ""),
    "create_endpoint_config": (_CONFIG, _config, ""),
    "put_metric_alarm": (_ALARM, _alarm, ""),
    "create_endpoint": (_ENDPOINT, _endpoint, _ALARM),
    "register_scalable_target": (_TARGET, _target, _ENDPOINT),
    "put_scaling_policy": ("aws_appautoscaling_policy", _policy, _TARGET),
    "put_scheduled_action": ("aws_appautoscaling_scheduled_action", _action, _TARGET),
}
