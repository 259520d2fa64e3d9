"""Which permissions of IAM a call needs, and a policy that decides whether its caller has them.

By the service authorization reference: most actions are called as their operations; the tables hold
those that are not, and what is asked besides, such as iam:PassRole for a model's role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.calls import Call

S3_ACTIONS = {  # operation -> the actions that S3 asks for instead
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketLocation": "GetBucketLocation",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
}
_OF_ALARMS = {  # by which target tracking is done
    "PutScalingPolicy": "PutMetricAlarm",
    "DeleteScalingPolicy": "DeleteAlarms",
    "DeregisterScalableTarget": "DeleteAlarms",
}
_OF_OBJECTS = {"DeleteObjects"}  # asked for each key that the body names
_NAMED = {
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "TransformJobName": "transform-job",
}
PASSED = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}  # as all are here
_PREFIXES = {
    "service-quotas": "servicequotas",
    "resourcegroupstaggingapi": "tag",
    "sagemaker-runtime": "sagemaker",
    "monitoring": "cloudwatch",
}


@dataclass(frozen=True, order=True)
class Permission:
    """`action` ("s3:GetObject") on `resource` (an ARN, or "*" where the service has none)."""

    action: str
    resource: str = "*"


@dataclass
class Authorizer:
    """Asks `allows` of each permission that a call needs: all of them unless a test says otherwise.
    `key_of` tells the KMS key of an endpoint configuration, "" for none; `used` and `refused` are
    what it was asked."""

    account: str
    region: str
    allows: Callable[[Permission], bool] = lambda permission: True
    key_of: Callable[[str], str] = lambda config: ""
    used: set[Permission] = field(default_factory=set)
    refused: list[Permission] = field(default_factory=list)

    def check(self, call: Call) -> None:
        """Raise the Refusal with which AWS answers a caller that lacks a permission."""
        for permission in (*needed(call, self.account, self.region), *self._grants(call)):
            if not self.allows(permission):
                self.refused.append(permission)
                raise denied(call, self.account, permission)
            self.used.add(permission)

    def _grants(self, call: Call) -> Iterator[Permission]:
        """Who creates or updates an endpoint grants its instances the use of their disks' key."""
        config = str(call.parameters.get("EndpointConfigName", ""))
        if call.operation in ("CreateEndpoint", "UpdateEndpoint") and (key := self.key_of(config)):
            plain = f"arn:aws:kms:{self.region}:{self.account}:key/{key}"
            yield Permission("kms:CreateGrant", key if key.startswith("arn:") else plain)


def policy(document: Mapping[str, Any]) -> Callable[[Permission], bool]:
    """Whether an identity with this policy, and no other, has a permission."""
    return lambda permission: any(_covers(s, permission) for s in document["Statement"])


def _covers(statement: Mapping[str, Any], permission: Permission) -> bool:
    if statement.get("Condition", PASSED) != PASSED:
        raise NotImplementedError(f"the fake does not know {statement['Condition']}")
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    return (
        statement["Effect"] == "Allow"
        and any(_like(pattern, permission.action, re.IGNORECASE) for pattern in actions)
        and any(_like(pattern, permission.resource) for pattern in resources)
    )


def _listed(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else list(found)


def _like(pattern: str, text: str, flags: int = 0) -> bool:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, flags | re.DOTALL) is not None


def denied(call: Call, account: str, permission: Permission) -> Refusal:
    """In the words of AWS."""
    action, resource = permission.action, permission.resource
    user = f"arn:aws:iam::{account}:user/deployer"
    said = (
        f"User: {user} is not authorized to perform: {action} on resource: {resource} because no"
        f" identity-based policy allows the {action} action"
    )
    plain = call.service in ("s3", "iam")
    code = "AccessDenied" if plain else "AccessDeniedException"
    return Refusal(code, said, 403 if plain else 400)


def needed(call: Call, account: str, region: str) -> Iterator[Permission]:
    """The permissions that a call needs."""
    if call.service == "sts":  # who one is, anybody may ask
        return
    handlers = {
        "s3": _s3,
        "iam": _iam,
        "logs": _logs,
        "sagemaker": _sagemaker,
        "application-autoscaling": _scaling,
        "cloudwatch": _cloudwatch,
        "cloudformation": _cloudformation,
    }
    prefix = _PREFIXES.get(call.service, call.service)
    arn = f"arn:aws:{prefix}:{region}:{account}:"
    if call.service == "sagemaker-runtime":
        yield Permission(f"sagemaker:{call.operation}", f"{arn}endpoint/{call.path.split('/')[2]}")
    elif handler := handlers.get(call.service):
        yield from handler(call, arn)
    else:
        yield Permission(f"{prefix}:{call.operation}")


def _s3(call: Call, arn: str) -> Iterator[Permission]:
    bucket, _, key = call.path.strip("/").partition("/")
    action = f"s3:{S3_ACTIONS.get(call.operation, call.operation)}"
    where = f"arn:aws:s3:::{bucket}"
    if call.operation in _OF_OBJECTS:
        for entry in re.findall(r"<Object>.*?</Object>", call.body.decode(), re.DOTALL):
            (name,) = re.findall(r"<Key>(.*?)</Key>", entry)
            version = "Version" if "<VersionId>" in entry else ""
            yield Permission(action + version, f"{where}/{name}")
        return
    version = "Version" if key and "versionId" in call.query else ""
    yield Permission(action + version, f"{where}/{key}" if key else where)
    if call.operation == "CreateBucket" and b"<Tags>" in call.body:
        yield Permission("s3:TagResource", where)
    if "x-amz-tagging" in call.headers:
        yield Permission("s3:PutObjectTagging", f"{where}/{key}")
    if call.operation == "PutObject" and "if-match" in call.headers:
        yield Permission("s3:GetObject", f"{where}/{key}")


def _iam(call: Call, arn: str) -> Iterator[Permission]:
    account, role = arn.split(":")[4], call.parameters.get("RoleName")
    where = f"arn:aws:iam::{account}:role/{role}" if role else "*"
    yield Permission(f"iam:{call.operation}", where)
    if call.operation.startswith("Create") and any(p.startswith("Tags.") for p in call.parameters):
        yield Permission("iam:TagRole", where)


def _logs(call: Call, arn: str) -> Iterator[Permission]:
    group, stream = (call.parameters.get(f"log{kind}Name", "") for kind in ("Group", "Stream"))
    yield Permission(f"logs:{call.operation}", f"{arn}log-group:{group}:log-stream:{stream}")


def _cloudwatch(call: Call, arn: str) -> Iterator[Permission]:
    """To describe alarms is asked for all of them."""
    asked, action = call.parameters, f"cloudwatch:{call.operation}"
    names = [asked["AlarmName"]] if call.operation == "PutMetricAlarm" else []
    named = [f"{arn}alarm:{name}" for name in (*names, *_deleted(call))]
    for where in named or [asked.get("ResourceARN", "*")]:
        yield Permission(action, where)
        if asked.get("Tags") and call.operation == "PutMetricAlarm":
            yield Permission("cloudwatch:TagResource", where)


def _deleted(call: Call) -> list[str]:
    return list(call.parameters["AlarmNames"]) if call.operation == "DeleteAlarms" else []


def _sagemaker(call: Call, arn: str) -> Iterator[Permission]:
    asked = call.parameters
    # SageMaker writes names in ARNs in lower case
    keys = ("TransformJobName",) if "TransformJobName" in asked else _NAMED
    named = [f"{arn}{_NAMED[key]}/{asked[key].lower()}" for key in keys if key in asked]
    for where in named or [asked.get("ResourceArn", "*")]:
        yield Permission(f"sagemaker:{call.operation}", where)
    if asked.get("Tags") and named:
        kind = _NAMED[call.operation.removeprefix("Create") + "Name"]
        yield Permission("sagemaker:AddTags", next(x for x in named if f":{kind}/" in x))
    if role := asked.get("ExecutionRoleArn"):
        yield Permission("iam:PassRole", role)


def _cloudformation(call: Call, arn: str) -> Iterator[Permission]:
    """To describe all stacks is asked for all of them."""
    name = call.parameters.get("StackName", "")
    stack = name.split("/")[1] if name.startswith("arn:") else name
    where = f"{arn}stack/{stack}/*" if stack else "*"
    yield Permission(f"cloudformation:{call.operation}", where)


def _scaling(call: Call, arn: str) -> Iterator[Permission]:
    """Application Auto Scaling asks, too, what it is to do for the caller."""
    asked, (region, account) = call.parameters, arn.split(":")[3:5]
    yield Permission(
        f"application-autoscaling:{call.operation}",
        "*" if call.operation.startswith("Describe") else f"{arn}scalable-target/*",
    )
    if call.operation == "RegisterScalableTarget":
        service = "sagemaker.application-autoscaling.amazonaws.com"
        role = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        linked = f"arn:aws:iam::{account}:role/aws-service-role/{service}/{role}"
        name = asked["ResourceId"].split("/")[1].lower()
        endpoint = f"arn:aws:sagemaker:{region}:{account}:endpoint/{name}"
        yield Permission("iam:CreateServiceLinkedRole", linked)
        yield Permission("sagemaker:UpdateEndpointWeightsAndCapacities", endpoint)
        if asked.get("Tags"):
            yield Permission("application-autoscaling:TagResource", f"{arn}scalable-target/*")
    if call.operation in _OF_ALARMS and asked.get("PolicyType") != "StepScaling":
        alarms = f"arn:aws:cloudwatch:{region}:{account}:alarm:TargetTracking-*"
        yield Permission(f"cloudwatch:{_OF_ALARMS[call.operation]}", alarms)
