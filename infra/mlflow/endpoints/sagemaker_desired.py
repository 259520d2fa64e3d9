"""What should be at SageMaker for an MLflow model: what mlflow.deployments is asked for, and the
names of what it makes of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.mlflow.endpoints.sagemaker_names import MlflowNames, suffix
from onnxferry.infra.mlflow.endpoints.specs import manifest_of
from onnxferry.infra.sagemaker import desired
from onnxferry.infra.sagemaker.alarms import Watched
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import values_of
from onnxferry.infra.sagemaker.role_policy import execution_role, role_policy
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.target_tables.sagemaker import RealTime
from onnxferry.system.errors import UsageError

_VARIANT = "AllTraffic"


@dataclass(frozen=True)
class DesiredModel:
    """One MLflow model at one endpoint. `files` are the sha256 of the package's, `suffix` ends the
    names; `settings` are those of mlflow.deployments, `role` is None where one is given, `p95_ms`
    where the package was not rehearsed."""

    names: MlflowNames
    package: Path
    files: Mapping[str, str]
    spec: str
    version: str
    suffix: str
    settings: Mapping[str, Any]
    bucket: Mapping[str, Any]
    role: Mapping[str, Any] | None
    p95_ms: float | None = None

    def watched(self, config: str) -> Watched:
        """What alarms are to watch."""
        return Watched(config, (self.variant(config),), self.p95_ms)

    def config(self, endpoint: str) -> str:
        """The name of the configuration that is made with `endpoint`."""
        return f"{endpoint}-config-{self.suffix}"

    def model(self, config: str) -> str:
        """The name of the model in that configuration."""
        return config.replace(f"-config-{self.suffix}", f"-model-{self.suffix}")

    def url(self, config: str) -> str:
        """Where its archive is (s3://...)."""
        return f"s3://{self.names.bucket}/{self.model(config)}/model.tar.gz"

    def variant(self, config: str) -> dict[str, Any]:
        """The production variant of that configuration."""
        return {
            "VariantName": _VARIANT,
            "ModelName": self.model(config),
            "InstanceType": self.settings["instance_type"],
            "InitialInstanceCount": self.settings["instance_count"],
            "InitialVariantWeight": 1,
        }

    def manifest(self, config: str) -> Upload:
        """The model's manifest, kept as golden.json beside the archive; no archive."""
        folder, names = self.model(config), self.names
        return Upload(
            path="",
            sha256=self.suffix,
            size=0,
            bucket=names.bucket,
            key=f"{folder}/model.tar.gz",
            golden_key=f"{folder}/golden.json",
            golden=self.spec,
            owner=names.owner,
            mark=names.mark(self.version, names.now),
        )

    def there(self, state: CurrentState) -> str:
        """The configuration of this model and these settings that is there; "" for none."""
        return next((one for one in state.configs if one.endswith(f"-config-{self.suffix}")), "")


def desired_model(names: MlflowNames, bundle: Bundle, key: str = "") -> DesiredModel:
    """What `bundle` needs; `key` is the KMS key of its bucket. Raises UsageError for another mode
    than realtime."""
    given, package, serving = names.settings, bundle.package, names.settings.serving
    if not isinstance(serving, RealTime):
        raise UsageError(
            'mlflow.deploy_to = "sagemaker" makes a real-time endpoint: set sagemaker.serving.mode'
            f' to "realtime" (got "{serving.mode}"), or deploy to target sagemaker'
        )
    settings = {
        "image_url": given.image,
        "execution_role_arn": names.role_arn,
        "bucket": names.bucket,
        "instance_type": serving.instance_type,
        "instance_count": serving.instance_count,
        "variant_name": _VARIANT,
        "env": dict(given.environment),
    }
    tags = values_of(names.tags(bundle.version))
    made = {"create": execution_role(names), "policy": role_policy(names, key)}
    return DesiredModel(
        names=names,
        package=package.path,
        files={member.path: member.sha256 for member in package.members},
        spec=manifest_of(package.path),
        version=bundle.version,
        suffix=suffix(bundle.version, settings),
        settings={**settings, "tags": tags},
        bucket=desired.bucket(names),
        p95_ms=desired.rehearsed_p95(package),
        role=None if given.role else made,
    )
