"""An endpoint, and what it stands on, as a CloudFormation template of the very requests that
`deploy` sends. Without a package's URL it makes bucket and role; with one, all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from onnxferry.infra.sagemaker.template_requests import Asked, Requests, logical
from onnxferry.infra.templates.cloudformation import Stack, attribute, choice, empty, given
from onnxferry.infra.templates.placeholders import placeholder

_BUCKET, _ROLE, _ENDPOINT = "PackageBucket", "ExecutionRole", "Endpoint"
_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
_IDENTITY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
DESCRIPTION = "onnxferry: a SageMaker endpoint, and the bucket and the role that it stands on"
_CONDITIONS = {
    "MakesBucket": empty("Bucket"),
    "MakesRole": empty("Role"),
    "HasPackage": given("PackageUrl"),
}
_MADE = "onnxferry-${AWS::AccountId}-${AWS::Region}"
_VALUES = {
    "Bucket": choice("MakesBucket", {"Fn::Sub": _MADE}, {"Ref": "Bucket"}),
    "Role": choice("MakesRole", attribute(_ROLE, "Arn"), {"Ref": "Role"}),
    "Model": attribute("Model", "ModelName"),
    "EndpointConfig": attribute("EndpointConfig", "EndpointConfigName"),
    "Template": {"Fn::Sub": "cloudformation ${AWS::StackName}"},
}
_OUTPUTS = {
    "BucketName": {"Value": placeholder("Bucket"), "Description": "Bucket for packages."},
    "RoleArn": {"Value": placeholder("Role"), "Description": "The execution role."},
    "Endpoint": {
        "Condition": "HasPackage",
        "Value": attribute(_ENDPOINT, "EndpointName"),
        "Description": "Name of the endpoint.",
    },
}


def stack(asked: Requests) -> Stack:
    """The template of these requests."""
    resources = {_BUCKET: _bucket(asked), _ROLE: _role(asked), **_hosting(asked)}
    return Stack(DESCRIPTION, asked.parameters, _CONDITIONS, resources, _OUTPUTS, _VALUES)


def _bucket(asked: Requests) -> dict[str, Any]:
    """It stays when the stack goes: other endpoints' packages are in it, too."""
    (create,), (public,) = asked.of("create_bucket"), asked.of("put_public_access_block")
    (encryption,), (tagged,) = asked.of("put_bucket_encryption"), asked.of("put_bucket_tagging")
    (lifecycle,) = asked.of("put_bucket_lifecycle_configuration")
    by_default = [
        {"ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"]}
        for rule in encryption["ServerSideEncryptionConfiguration"]["Rules"]
    ]
    properties = {
        "BucketName": create["Bucket"],
        **public,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": by_default},
        "LifecycleConfiguration": {
            "Rules": [_rule(rule) for rule in lifecycle["LifecycleConfiguration"]["Rules"]]
        },
        "Tags": tagged["Tagging"]["TagSet"],
    }
    stays = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    return {
        "Type": "AWS::S3::Bucket",
        "Condition": "MakesBucket",
        **stays,
        "Properties": properties,
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    others = {key: value for key, value in rule.items() if key not in ("ID", "Filter")}
    prefix = rule["Filter"]["Prefix"]
    return {"Id": rule["ID"], **({"Prefix": prefix} if prefix else {}), **others}


def _role(asked: Requests) -> dict[str, Any]:
    (create,), (policy,) = asked.of("create_role"), asked.of("put_role_policy")
    document = "AssumeRolePolicyDocument"
    allowed = {"PolicyName": "onnxferry", "PolicyDocument": json.loads(policy["PolicyDocument"])}
    properties = {**create, document: json.loads(create[document]), "Policies": [allowed]}
    return {"Type": "AWS::IAM::Role", "Condition": "MakesRole", "Properties": properties}


def _hosting(asked: Requests) -> dict[str, Any]:
    """What needs the package, each resource by its logical id."""
    found: dict[str, dict[str, Any]] = {}
    for one in asked.asked:
        if kind := _KINDS.get(one.operation):
            resource, wanted = kind
            facts = {"Type": resource, "Condition": "HasPackage", **wanted(one.parameters, found)}
            if actions := list(_actions(asked, one)):
                facts["Properties"]["ScheduledActions"] = actions
            found[logical(one)] = facts
    return found


def _actions(asked: Requests, target: Asked) -> Iterator[dict[str, Any]]:
    """The scheduled actions of a scalable target, which are a property of it here."""
    if target.operation == "register_scalable_target":
        for action in asked.of("put_scheduled_action"):
            if all(target.parameters[key] == action[key] for key in _IDENTITY):
                yield {key: value for key, value in action.items() if key not in _IDENTITY}


def _without(*keys: str) -> Callable[..., dict[str, Any]]:
    def properties(request: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        return {"Properties": {k: v for k, v in request.items() if k not in keys}}

    return properties


def _endpoint(request: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """After the alarms that roll an update of it back."""
    alarms = [id_ for id_, one in found.items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    return {**({"DependsOn": alarms} if alarms else {}), "Properties": dict(request)}


def _target(request: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Such a target has no tags."""
    return {"DependsOn": [_ENDPOINT], **_without("Tags")(request, found)}


def _policy(request: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Of the target that was registered last."""
    targets = [name for name in found if found[name]["Type"] == _TARGET]
    return {"DependsOn": targets[-1:], "Properties": dict(request)}


_KINDS: Mapping[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "create_model": ("AWS::SageMaker::Model", _without("ModelName")),
    "create_endpoint_config": ("AWS::SageMaker::EndpointConfig", _without("EndpointConfigName")),
    "put_metric_alarm": ("AWS::CloudWatch::Alarm", _without()),
    "create_endpoint": ("AWS::SageMaker::Endpoint", _endpoint),
    "register_scalable_target": (_TARGET, _target),
    "put_scaling_policy": ("AWS::ApplicationAutoScaling::ScalingPolicy", _policy),
}
