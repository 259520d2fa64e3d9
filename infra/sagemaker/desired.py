"""What should be there for a bundle: every resource as the very request that creates it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.sagemaker.image import image
from onnxferry.infra.sagemaker.names import READY_TAG, digest, tags
from onnxferry.infra.sagemaker.scope import Scope

VARIANT = "AllTraffic"
# the container installs code/requirements.txt before it answers its first health check
_START_SECONDS = 900
_POLICY = "2012-10-17"


@dataclass(frozen=True)
class DesiredState:
    """The requests for the model and the configuration of one bundle, and where its package is
    kept."""

    version: str
    key: str
    golden: str
    model: dict[str, Any]
    config: dict[str, Any]

    @property
    def config_name(self) -> str:
        return str(self.config["EndpointConfigName"])


def desired(scope: Scope, bundle: Bundle) -> DesiredState:
    """What `bundle` needs. Raises UsageError when no image suits it."""
    uri = image(scope.config, scope.aws.region, bundle.package.python)
    folder = f"{scope.prefix}{bundle.package.sha256}/"
    key = f"{folder}model.tar.gz"
    model = _model(scope, bundle.version, uri, f"s3://{scope.bucket}/{key}")
    return DesiredState(
        bundle.version, key, f"{folder}golden.json", model, _config(scope, bundle.version, model)
    )


def _model(scope: Scope, version: str, uri: str, url: str) -> dict[str, Any]:
    variables = {**scope.config.environment, "SAGEMAKER_PROGRAM": "inference.py"}
    content = {
        "PrimaryContainer": {"Environment": variables, "Image": uri, "ModelDataUrl": url},
        "ExecutionRoleArn": role_arn(scope),
    }
    return {"ModelName": scope.names.of(version, content), **content, "Tags": scope.tags(version)}


def _config(scope: Scope, version: str, model: dict[str, Any]) -> dict[str, Any]:
    variant = {
        "VariantName": VARIANT,
        "ModelName": model["ModelName"],
        "InstanceType": scope.config.instance_type,
        "InitialInstanceCount": scope.config.instance_count,
        "InitialVariantWeight": 1.0,
        "ModelDataDownloadTimeoutInSeconds": _START_SECONDS,
        "ContainerStartupHealthCheckTimeoutInSeconds": _START_SECONDS,
    }
    return {
        "EndpointConfigName": scope.names.of(version, variant),
        "ProductionVariants": [variant],
        "Tags": scope.tags(version),
    }


def role_arn(scope: Scope) -> str:
    """The given role's, or that of the one that is created."""
    return scope.config.role or scope.arn("iam", f"role/{scope.names.role}", region="")


def role(scope: Scope) -> dict[str, Any]:
    """CreateRole: SageMaker of this account and region may assume it."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": scope.arn("sagemaker", "*")}},
    }
    return {
        "RoleName": scope.names.role,
        "AssumeRolePolicyDocument": _document(trust),
        "Description": f"onnxferry: SageMaker serves {scope.names.endpoint} with it",
        "Tags": scope.tags(),
    }


def role_policy(scope: Scope) -> dict[str, Any]:
    """PutRolePolicy: this endpoint's packages, its logs and metrics, and the images. Named by
    content, so that a policy for another bucket leaves what an earlier version needs."""
    s3, group = (
        f"arn:{scope.aws.partition}:s3:::{scope.bucket}",
        scope.names.logs(scope.names.endpoint),
    )
    document = _document(
        _allow(["s3:GetObject"], f"{s3}/{scope.prefix}*"),
        {
            **_allow(["s3:ListBucket"], s3),
            "Condition": {"StringLike": {"s3:prefix": f"{scope.prefix}*"}},
        },
        _allow(
            [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            scope.arn("logs", f"log-group:{group}*"),
        ),
        {**_allow(["cloudwatch:PutMetricData"], "*"), "Condition": _metrics()},
        _allow(["ecr:GetAuthorizationToken"], "*"),
        _allow(
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            scope.arn("ecr", "repository/*", account="*"),
        ),
    )
    return {
        "RoleName": scope.names.role,
        "PolicyName": f"onnxferry-{digest(document)}",
        "PolicyDocument": document,
    }


def _metrics() -> dict[str, Any]:
    return {"StringLike": {"cloudwatch:namespace": ["*SageMaker*", "*sagemaker*"]}}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": _POLICY, "Statement": list(statements)})


def bucket(scope: Scope) -> dict[str, Any]:
    """CreateBucket, and the calls that follow it: private, encrypted, no leftovers of broken
    uploads; the tag that says that all is done comes last. Not versioned: keys are content hashes,
    so nothing is ever overwritten by other bytes.
    """
    name, region = scope.bucket, scope.aws.region
    place = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    public = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    rule = {
        "ID": "broken-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    ready = tags({**scope.config.tags, READY_TAG: "yes"})
    settings = [
        ["put_public_access_block", {"PublicAccessBlockConfiguration": public}],
        ["put_bucket_encryption", {"ServerSideEncryptionConfiguration": encryption}],
        ["put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [rule]}}],
        ["put_bucket_tagging", {"Tagging": {"TagSet": ready}}],
    ]
    return {"create": {"Bucket": name, **place}, "settings": settings}
