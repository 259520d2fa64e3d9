"""The role that SageMaker serves an endpoint with, and what it may do: no more than to read the
endpoint's packages and the images, and to write logs and metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from onnxferry.infra.sagemaker import async_inference
from onnxferry.infra.sagemaker.capture import write_place
from onnxferry.infra.sagemaker.names import Names, digest, log_group
from onnxferry.infra.sagemaker.policy_statements import allow, use_of_key
from onnxferry.infra.sagemaker.private_rights import private_rights
from onnxferry.infra.target_tables.sagemaker import Serverless


def execution_role(names: Names) -> dict[str, Any]:
    """CreateRole: SageMaker of this account and region may assume it."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": names.arn("sagemaker", "*")}},
    }
    boundary = names.settings.permissions_boundary
    return {
        **({"PermissionsBoundary": boundary} if boundary else {}),
        "RoleName": names.role,
        "AssumeRolePolicyDocument": _document(trust),
        "Description": f"onnxferry: SageMaker serves {names.endpoint} with it",
        "Tags": names.tags(),
    }


def is_our_policy(name: str) -> bool:
    """Whether a policy of the role has such a name as we give, for serving or for a batch."""
    return re.fullmatch(r"onnxferry-(batch-)?[0-9a-f]{8}", name) is not None


def role_policy(names: Names, key: str = "") -> dict[str, Any]:
    """PutRolePolicy; `key` is the KMS key that the packages are encrypted with. Named by content,
    so that a policy for another bucket leaves what an earlier version needs."""
    bucket = f"arn:{names.partition}:s3:::{names.bucket}"
    places = [f"{folder}*" for folder in names.package_folders]
    below = {"StringLike": {"s3:prefix": _one_or_all(places)}}
    metrics = {"StringLike": {"cloudwatch:namespace": ["*SageMaker*", "*sagemaker*"]}}
    group = names.arn("logs", f"log-group:{log_group(names.endpoint)}*")
    logs = "CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents"
    images = "BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer"
    document = _document(
        allow(_one_or_all([f"{bucket}/{place}" for place in places]), "s3", "GetObject"),
        {**allow(bucket, "s3", "ListBucket"), "Condition": below},
        allow(group, "logs", logs),
        {**allow("*", "cloudwatch", "PutMetricData"), "Condition": metrics},
        allow("*", "ecr", "GetAuthorizationToken"),
        allow(names.arn("ecr", "repository/*", account="*"), "ecr", images),
        *([use_of_key(names, key)] if key else []),
        *(allow(_one_or_all(at), *what) for at, *what in async_inference.rights(names)),
        *_alarms(names),
        *_capture(names),
        *private_rights(names),
    )
    name = f"onnxferry-{digest(document)}"
    return {"RoleName": names.role, "PolicyName": name, "PolicyDocument": document}


def _capture(names: Names) -> list[dict[str, Any]]:
    """To put captured requests and answers where they are kept."""
    place = write_place(names)
    return [allow(place, "s3", "PutObject")] if place else []


def _alarms(names: Names) -> Iterator[dict[str, Any]]:
    """SageMaker looks at the alarms of an update with the role. Others' may be composite ones, for
    which CloudWatch asks the permission for all."""
    rollout = names.settings.rollout
    ours = names.arn("cloudwatch", f"alarm:onnxferry-{names.endpoint}-*")
    if isinstance(names.settings.serving, Serverless):
        return  # nothing is watched there
    if rollout.alarms or rollout.other_alarms:
        yield allow("*" if rollout.other_alarms else ours, "cloudwatch", "DescribeAlarms")


def _one_or_all(values: list[str]) -> str | list[str]:
    """As policies are written, and as deployed ones are: their names are hashes of their text."""
    return values[0] if len(values) == 1 else values


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
