"""What should be there for a bundle: every resource as the very request that creates it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.sagemaker import async_inference, serverless
from onnxferry.infra.sagemaker.alarms import Watched
from onnxferry.infra.sagemaker.capture import capture_config
from onnxferry.infra.sagemaker.fleet import Variants, variants_of
from onnxferry.infra.sagemaker.image import image
from onnxferry.infra.sagemaker.names import BUCKET_TAG, READY_TAG, Names, tags
from onnxferry.infra.sagemaker.role_policy import execution_role, role_policy
from onnxferry.infra.sagemaker.variants import production_variants
from onnxferry.infra.target_tables.sagemaker import SageMaker, Serverless
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record


@dataclass(frozen=True)
class Upload:
    """A package to be in S3 (`size` in bytes), with the text of golden.json, which is kept beside
    it. `owner` goes with every request to the bucket, `mark` with each object."""

    path: str
    sha256: str
    size: int
    bucket: str
    key: str
    golden_key: str
    golden: str
    owner: Mapping[str, str]
    mark: Mapping[str, str]

    @property
    def url(self) -> str:
        """The package's s3:// address."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class DesiredState:
    """The requests for one bundle; `role` is None where one is given. `p95_ms` is what the
    package's rehearsal measured, None where there was none."""

    version: str
    package: Upload
    model: Mapping[str, Any]
    config: Mapping[str, Any]
    bucket: Mapping[str, Any]
    role: Mapping[str, Any] | None
    p95_ms: float | None = None

    @property
    def watched(self) -> Watched:
        """What alarms are to watch."""
        config = self.config
        return Watched(config["EndpointConfigName"], config["ProductionVariants"], self.p95_ms)

    @property
    def variant(self) -> Variants:
        """The configuration's production variants."""
        return variants_of(self.config)


def desired(names: Names, bundle: Bundle, key: str = "") -> DesiredState:
    """What `bundle` needs; `key` is the KMS key of its bucket. Raises UsageError when no image
    suits it."""
    uri, version = image(names.settings, names.region, bundle.package.python), bundle.version
    package = _upload(names, bundle)
    model = _model(names, version, uri, package.url)
    config = _config(names, version, model["ModelName"])
    role = (
        None
        if names.settings.role
        else {"create": execution_role(names), "policy": role_policy(names, key)}
    )
    measured = rehearsed_p95(bundle.package)
    return DesiredState(version, package, model, config, bucket(names), role, measured)


def rehearsed_p95(package: Package) -> float | None:
    """The latency in ms that the last rehearsal of this very package measured."""
    found = record.read(package)
    return found.latency_p95_ms if found and found.sha256 == package.sha256 else None


def _upload(names: Names, bundle: Bundle) -> Upload:
    """golden.json is in model_spec.json's format."""
    package = bundle.package
    folder = f"{names.folder}{package.sha256}"
    return Upload(
        path=str(package.path),
        sha256=package.sha256,
        size=package.size,
        bucket=names.bucket,
        key=f"{folder}/model.tar.gz",
        golden_key=f"{folder}/golden.json",
        golden=ModelSpec(package.model, "golden", golden=bundle.golden).to_json(),
        owner=names.owner,
        mark=names.mark(bundle.version, names.now),
    )


def _model(names: Names, version: str, uri: str, url: str) -> dict[str, Any]:
    variables = {**serverless.variables(names.settings), **names.settings.environment}
    variables["SAGEMAKER_PROGRAM"] = "inference.py"
    container = {"Environment": variables, "Image": uri, "ModelDataUrl": url}
    content = {"PrimaryContainer": container, "ExecutionRoleArn": names.role_arn}
    content |= network(names.settings)
    return {"ModelName": names.of(version, content), **content, "Tags": names.tags(version)}


def _config(names: Names, version: str, model: str) -> dict[str, Any]:
    """CreateEndpointConfig."""
    content: dict[str, Any] = {"ProductionVariants": production_variants(names.settings, model)}
    if names.settings.kms_key and not isinstance(names.settings.serving, Serverless):
        content["KmsKeyId"] = names.settings.kms_key
    content |= async_inference.config(names) | capture_config(names)
    name = names.of(version, content)
    return {"EndpointConfigName": name, **content, "Tags": names.tags(version)}


def network(settings: SageMaker) -> dict[str, Any]:
    """What CreateModel says of the containers' connections."""
    if isinstance(settings.serving, Serverless):  # which has neither
        return {}
    given = settings.network
    vpc = {"Subnets": list(given.subnets), "SecurityGroupIds": list(given.security_groups)}
    return {
        "EnableNetworkIsolation": given.isolation,
        **({"VpcConfig": vpc} if given.subnets else {}),
    }


def bucket(names: Names) -> dict[str, Any]:
    """CreateBucket, and the calls that follow it; the tag that all is done comes last. Not
    versioned: keys are content hashes."""
    own = {**names.settings.tags, BUCKET_TAG: f"{names.account}-{names.region}"}
    place: dict[str, Any] = {"Tags": tags(own)}
    if names.region != "us-east-1":  # which is no LocationConstraint
        place["LocationConstraint"] = names.region
    blocks = "BlockPublicAcls IgnorePublicAcls BlockPublicPolicy RestrictPublicBuckets"
    public = dict.fromkeys(blocks.split(), True)
    rule = {
        "ID": "broken-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    ready = tags({**own, READY_TAG: "yes"})
    settings = [
        ["put_public_access_block", {"PublicAccessBlockConfiguration": public}],
        ["put_bucket_encryption", {"ServerSideEncryptionConfiguration": encryption}],
        ["put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [rule]}}],
        ["put_bucket_tagging", {"Tagging": {"TagSet": ready}}],
    ]
    named = {"Bucket": names.bucket}
    create = {**named, "CreateBucketConfiguration": place}
    return {"create": create, "bucket": named | names.owner, "settings": settings}
