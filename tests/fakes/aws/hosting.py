"""Models and endpoint configurations of SageMaker: moto keeps them, and this refuses what AWS
refuses, and keeps what moto loses (network isolation, shadow variants)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from moto.sagemaker.models import FakeEndpointConfig

from tests.fakes.aws.answers import validation
from tests.fakes.aws.calls import model as service
from tests.fakes.aws.role_rights import is_trusted, lacking_key, lacking_network

if TYPE_CHECKING:
    from tests.fakes.aws.server import AwsServer

_MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)
_NONE_WHERE_SERVERLESS = (
    "ShadowProductionVariants",
    "AsyncInferenceConfig",
    "DataCaptureConfig",
    "KmsKeyId",
    "ExplainerConfig",
)


_LOCAL_DISKS = re.compile(r"ml\.(m5d|c5d|r5d|m6gd|c6gd|r6gd|m6id|c6id|g4dn|g5|p4d)\.")


class Configuration(FakeEndpointConfig):  # type: ignore[misc]
    """An endpoint configuration with all that was asked of it, on any instance type."""

    def __init__(self, asked: Mapping[str, Any], account: str, region: str) -> None:
        super().__init__(
            account,
            region,
            asked["EndpointConfigName"],
            asked["ProductionVariants"],
            asked.get("AsyncInferenceConfig"),
            asked.get("DataCaptureConfig"),
            asked.get("Tags", []),
            asked.get("KmsKeyId"),
        )
        self.shadow_production_variants = asked.get("ShadowProductionVariants")
        self.data_capture_config = asked.get("DataCaptureConfig")  # for none moto's answers have {}

    def validate_instance_type(self, instance_type: str) -> None:
        """By botocore's list, which is longer than moto's; `_check_fleet` has done it."""


class Hosting:
    """Operations on models and endpoint configurations in the account of `aws`. `unknown_role` is
    how many times CreateModel does not know the role yet."""

    def __init__(self, aws: AwsServer, account: str, region: str) -> None:
        self._aws, self._account, self._region = aws, account, region
        self._arn = f"arn:aws:sagemaker:{region}:{account}"

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "CreateModel": self.create_model,
            "CreateEndpointConfig": self.create_config,
            "DeleteEndpointConfig": self.check_config,
            "DeleteModel": self.check_model,
        }

    @property
    def _models(self) -> Any:
        return self._aws.sagemaker._models

    @property
    def _configs(self) -> Any:
        return self._aws.sagemaker.endpoint_configs

    def create_model(self, asked: Mapping[str, Any]) -> Any:
        name, role = asked["ModelName"], asked["ExecutionRoleArn"]
        if name in self._models:
            raise validation(f'Cannot create already existing model "{self._arn}:model/{name}".')
        self._check_role(role)
        self._check_data(asked["PrimaryContainer"]["ModelDataUrl"], role)
        self._check_network(asked.get("VpcConfig"), role)
        made = self._aws.sagemaker.create_model(
            name, role, asked["PrimaryContainer"], asked.get("VpcConfig"), None, asked.get("Tags")
        )
        made.enable_network_isolation = asked.get("EnableNetworkIsolation", False)
        made.vpc_config = asked.get("VpcConfig")  # for none moto's answers have {}, AWS's nothing
        return {"ModelArn": made.arn}

    def _check_role(self, role: str) -> None:
        found = self._aws.roles.get(role.rpartition("/")[2])
        known = found and found.policies and is_trusted(found)
        if self._aws.unknown_role or not known:
            self._aws.unknown_role = max(0, self._aws.unknown_role - 1)
            raise validation(
                f"Could not assume role {role}. Please ensure that the role exists and allows"
                " principal 'sagemaker.amazonaws.com' to assume the role."
            )

    def _check_data(self, url: str, role: str) -> None:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        if key not in self._aws.keys.get(bucket, []):
            raise validation(f"Could not find model data at {url}.")
        policies = self._aws.roles[role.rpartition("/")[2]].policies
        if lacking := self._aws.objects.unreadable(bucket, policies):
            raise validation(
                f"Could not access model data at {url}. Please ensure that the role {role} has"
                f" the permission {lacking}."
            )

    def _check_network(self, vpc: Any, role: str) -> None:
        found = self._aws.roles[role.rpartition("/")[2]]
        if lacking := lacking_network(found, vpc, self._region, self._account):
            raise validation(
                f"Could not connect to the VPC. Please ensure that the role {role} has the"
                f" permission {lacking}."
            )

    def key_of(self, config: str) -> str:
        """The KMS key of the disks of a configuration's instances; "" for none."""
        found = self._configs.get(config)
        return str(getattr(found, "kms_key_id", "") or "")

    def create_config(self, asked: Mapping[str, Any]) -> Any:
        name = asked["EndpointConfigName"]
        if name in self._configs:
            raise validation(
                "Cannot create already existing endpoint configuration"
                f' "{self._arn}:endpoint-config/{name}".'
            )
        production = asked["ProductionVariants"]
        shadows = asked.get("ShadowProductionVariants", [])
        for variant in (*production, *shadows):
            self.check_model(variant)
            _check_fleet(variant)
        names = [variant["VariantName"] for variant in (*production, *shadows)]
        if len(set(names)) < len(names):
            raise validation("Variant names must be unique within an endpoint configuration.")
        if any("ServerlessConfig" in variant for variant in (*production, *shadows)):
            self._check_serverless(asked)
        kinds = [variant.get("InstanceType", "") for variant in (*production, *shadows)]
        if asked.get("KmsKeyId") and any(map(_LOCAL_DISKS.match, kinds)):
            raise validation(f"KmsKeyId is not supported on instances with local storage: {kinds}.")
        if shadows and (len(production) > 1 or len(shadows) > 1 or "AsyncInferenceConfig" in asked):
            raise validation(
                "Shadow variants are supported only with one production variant and one shadow"
                " variant, and not with AsyncInferenceConfig."
            )
        made = Configuration(asked, self._account, self._region)
        self._configs[name] = made
        return {"EndpointConfigArn": made.endpoint_config_arn}

    def _check_serverless(self, asked: Mapping[str, Any]) -> None:
        """What Serverless Inference excludes."""
        if len(asked["ProductionVariants"]) > 1:
            raise validation(
                "Multiple production variants are not supported with ServerlessConfig."
            )
        for name in _NONE_WHERE_SERVERLESS:
            if asked.get(name):
                raise validation(f"{name} is not supported with ServerlessConfig.")
        found = self._models[asked["ProductionVariants"][0]["ModelName"]]
        if found.vpc_config:
            raise validation("VpcConfig is not supported with ServerlessConfig.")
        if found.enable_network_isolation:
            raise validation("Network isolation is not supported with ServerlessConfig.")

    def check_config(self, asked: Mapping[str, Any]) -> None:
        """A configuration in use is deleted without a word, and its endpoint can no more be
        updated."""
        name = asked["EndpointConfigName"]
        if name not in self._configs:
            raise validation(
                f'Could not find endpoint configuration "{self._arn}:endpoint-config/{name}".'
            )

    def check_model(self, asked: Mapping[str, Any]) -> None:
        if asked["ModelName"] not in self._models:
            raise validation(f'Could not find model "{self._arn}:model/{asked["ModelName"]}".')

    def policies(self, config: str) -> Mapping[str, str]:
        """The documents of the role that the first model of a configuration runs with."""
        model = self._models[self._configs[config].production_variants[0]["ModelName"]]
        found: Mapping[str, str] = self._aws.roles[model.execution_role_arn.split("/")[-1]].policies
        return found

    def configuration(self, name: str) -> Any:
        """What a configuration runs; None where there is none. Refused where a model of it is
        gone."""
        found = self._configs.get(name)
        for variant in found.production_variants if found else ():
            self.check_model(variant)
            self._check_key(self._models[variant["ModelName"]].execution_role_arn, found.kms_key_id)
        return found

    def _check_key(self, role: str, key: str | None) -> None:
        found = self._aws.roles.get(role.rpartition("/")[2])
        if not key or not found:
            return
        if lacking := lacking_key(found, key, self._region, self._account):
            raise validation(
                f"Could not use the KMS key {key}. Please ensure that the role {role} has the"
                f" permission {lacking}."
            )


def _check_fleet(variant: Mapping[str, Any]) -> None:
    """What botocore's model says of values, and botocore does not check."""
    serverless = variant.get("ServerlessConfig")
    instances = {"InstanceType", "InitialInstanceCount"} & set(variant)
    if serverless is not None and instances:
        raise validation("InstanceType cannot be specified with ServerlessConfig.")
    if serverless is None:
        kinds = service("sagemaker").shape_for("ProductionVariantInstanceType").enum
        if len(instances) < 2 or variant["InstanceType"] not in kinds:
            raise validation(f"InstanceType of {variant} failed to satisfy constraint.")
        return
    most = serverless["MaxConcurrency"]
    if serverless["MemorySizeInMB"] not in _MEMORY or not 1 <= most <= 200:
        raise validation(f"ServerlessConfig {serverless} failed to satisfy constraint.")
    if not 1 <= serverless.get("ProvisionedConcurrency", 1) <= most:
        raise validation("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
