"""What should be there for a bundle: every resource as the very request that creates it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.sagemaker.image import image
from onnxferry.infra.sagemaker.names import READY_TAG, Names, digest, log_group, tags
from onnxferry.scoring.manifest import ModelSpec

VARIANT = "AllTraffic"
# the container installs code/requirements.txt before it answers its first health check
_START_SECONDS = 900


@dataclass(frozen=True)
class Upload:
    """A package to be in S3: the file, with its size in bytes, and the text of golden.json, which
    is kept beside it. `owner` goes with every request to the bucket."""

    path: str
    sha256: str
    size: int
    bucket: str
    key: str
    golden_key: str
    golden: str
    owner: Mapping[str, str]

    @property
    def url(self) -> str:
        """The package's s3:// address."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class DesiredState:
    """The requests for one bundle: model and configuration, the bucket that is made unless it is
    there, and the role ("create" and "policy"; None where one is given)."""

    version: str
    package: Upload
    model: Mapping[str, Any]
    config: Mapping[str, Any]
    bucket: Mapping[str, Any]
    role: Mapping[str, Any] | None

    @property
    def config_name(self) -> str:
        """The configuration's name."""
        return str(self.config["EndpointConfigName"])

    @property
    def instances(self) -> str:
        """For people, like "1 x ml.m5.large"."""
        return instances(self.config["ProductionVariants"][0])


def instances(variant: Mapping[str, Any]) -> str:
    """What a production variant runs on, for people."""
    return f"{variant['InitialInstanceCount']} x {variant['InstanceType']}"


def desired(names: Names, bundle: Bundle) -> DesiredState:
    """What `bundle` needs. Raises UsageError when no image suits it."""
    uri = image(names.settings, names.region, bundle.package.python)
    package = _upload(names, bundle)
    model = _model(names, bundle.version, uri, package.url)
    return DesiredState(
        bundle.version,
        package,
        model,
        _config(names, bundle.version, str(model["ModelName"])),
        _bucket(names),
        None if names.settings.role else {"create": _role(names), "policy": _role_policy(names)},
    )


def _upload(names: Names, bundle: Bundle) -> Upload:
    """golden.json is what model_spec.json says of the golden request, in its format."""
    package = bundle.package
    folder = f"{names.prefix}{package.sha256}/"
    return Upload(
        str(package.path),
        package.sha256,
        package.size,
        names.bucket,
        f"{folder}model.tar.gz",
        f"{folder}golden.json",
        ModelSpec(package.model, "golden", golden=bundle.golden).to_json(),
        names.owner,
    )


def _model(names: Names, version: str, uri: str, url: str) -> dict[str, Any]:
    variables = {**names.settings.environment, "SAGEMAKER_PROGRAM": "inference.py"}
    content = {
        "PrimaryContainer": {"Environment": variables, "Image": uri, "ModelDataUrl": url},
        "ExecutionRoleArn": names.role_arn,
    }
    return {"ModelName": names.of(version, content), **content, "Tags": names.tags(version)}


def _config(names: Names, version: str, model: str) -> dict[str, Any]:
    """CreateEndpointConfig. Another serving mode is another variant here, and nowhere else."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": model,
        "InstanceType": names.settings.instance_type,
        "InitialInstanceCount": names.settings.instance_count,
        "InitialVariantWeight": 1.0,
        "ModelDataDownloadTimeoutInSeconds": _START_SECONDS,
        "ContainerStartupHealthCheckTimeoutInSeconds": _START_SECONDS,
    }
    return {
        "EndpointConfigName": names.of(version, variant),
        "ProductionVariants": [variant],
        "Tags": names.tags(version),
    }


def _role(names: Names) -> dict[str, Any]:
    """CreateRole: SageMaker of this account and region may assume it."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": names.arn("sagemaker", "*")}},
    }
    return {
        "RoleName": names.role,
        "AssumeRolePolicyDocument": _document(trust),
        "Description": f"onnxferry: SageMaker serves {names.endpoint} with it",
        "Tags": names.tags(),
    }


def _role_policy(names: Names) -> dict[str, Any]:
    """PutRolePolicy: this endpoint's packages, its logs and metrics, and the images. Named by
    content, so that a policy for another bucket leaves what an earlier version needs."""
    bucket = f"arn:{names.partition}:s3:::{names.bucket}"
    below = {"StringLike": {"s3:prefix": f"{names.prefix}*"}}
    metrics = {"StringLike": {"cloudwatch:namespace": ["*SageMaker*", "*sagemaker*"]}}
    logs = names.arn("logs", f"log-group:{log_group(names.endpoint)}*")
    images = names.arn("ecr", "repository/*", account="*")
    document = _document(
        _allow(f"{bucket}/{names.prefix}*", "s3:GetObject"),
        {**_allow(bucket, "s3:ListBucket"), "Condition": below},
        _allow(
            logs,
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ),
        {**_allow("*", "cloudwatch:PutMetricData"), "Condition": metrics},
        _allow("*", "ecr:GetAuthorizationToken"),
        _allow(
            images,
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
        ),
    )
    name = f"onnxferry-{digest(document)}"
    return {"RoleName": names.role, "PolicyName": name, "PolicyDocument": document}


def _allow(resource: str, *actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _bucket(names: Names) -> dict[str, Any]:
    """CreateBucket, and the calls that follow it: private, encrypted, no leftovers of broken
    uploads; the tag that says that all is done comes last. Not versioned: keys are content hashes,
    so nothing is ever overwritten by other bytes.
    """
    place = {"CreateBucketConfiguration": {"LocationConstraint": names.region}}
    if names.region == "us-east-1":
        place = {}
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
    ready = tags({**names.settings.tags, READY_TAG: "yes"})
    settings = [
        ["put_public_access_block", {"PublicAccessBlockConfiguration": public}],
        ["put_bucket_encryption", {"ServerSideEncryptionConfiguration": encryption}],
        ["put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [rule]}}],
        ["put_bucket_tagging", {"Tagging": {"TagSet": ready}}],
    ]
    return {
        "create": {"Bucket": names.bucket, **place},
        "bucket": {"Bucket": names.bucket, **names.owner},
        "settings": settings,
    }
