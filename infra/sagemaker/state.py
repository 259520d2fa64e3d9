"""What is there. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound
from onnxferry.infra.sagemaker import alarms, execution_role, storage
from onnxferry.infra.sagemaker.alarms import AlarmState
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.fleet import COUNT, Variant, Variants, variants_of
from onnxferry.infra.sagemaker.names import (
    ENDPOINT_TAG,
    HISTORY_TAG,
    TEMPLATE_TAG,
    VERSION_TAG,
    Names,
    values_of,
)
from onnxferry.infra.sagemaker.packages import Packages, packages

BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
BROKEN = frozenset({"Failed", "OutOfService"})  # nothing but deletion helps


@dataclass(frozen=True)
class Endpoint:
    """`config` serves, or is being created, on `count` instances, `counts` of each variant;
    shadows' too; `pending` is on its way, "" if none."""

    name: str
    arn: str
    state: str
    config: str
    pending: str
    reason: str
    count: int = 0
    stage: str = ""  # of an update, in SageMaker's words
    since: Any = None  # when what is under way began
    deployment: Mapping[str, Any] = field(default_factory=dict)  # the last DeploymentConfig
    tags: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    serverless: bool = False

    @property
    def history(self) -> tuple[str, ...]:
        """Configurations that proved themselves, newest first."""
        return tuple(self.tags.get(HISTORY_TAG, "").split())

    @property
    def coming(self) -> str:
        """The configuration that serves in the end."""
        return self.pending or self.config


@dataclass(frozen=True)
class Tagged:
    """A model or an endpoint configuration with our mark."""

    arn: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class CurrentState:
    """What SageMaker has of an endpoint: the production variants that serve, and by their names the
    configurations and models that are ours, older versions' too. `foreign` are others with names
    like ours."""

    names: Names
    main: Endpoint | None
    candidate: Endpoint | None
    configs: Mapping[str, Tagged]
    models: Mapping[str, Tagged]
    foreign: tuple[str, ...] = ()
    variant: Variants | None = None
    alarms: Mapping[str, AlarmState] = field(default_factory=dict)
    captured: str = ""  # where data capture puts requests and answers (s3://...)

    @property
    def shadow(self) -> Variant | None:
        """The variant that gets a copy of the requests."""
        return next(iter(self.variant.shadows), None) if self.variant else None

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of all production variants that serve."""
        return tuple(one["VariantName"] for one in self.variant.all) if self.variant else ()

    @property
    def version(self) -> str:
        """The version that serves, or is being created; "" if none. A template's configuration is
        not named by it."""
        if self.main is None:
            return ""
        named = self.names.version_of(self.main.config)
        return named or self.main.tags.get(VERSION_TAG, "").replace("unknown", "")

    @property
    def templated(self) -> bool:
        """Whether a template has made the endpoint, and what is its alone."""
        return self.main is not None and TEMPLATE_TAG in self.main.tags

    @property
    def replaced(self) -> str:
        """The version that has served, and that another would replace; "" if none."""
        return self.version if self.main and self.main.history else ""

    @property
    def previous(self) -> str:
        """The configuration that a roll-back goes to; "" if none is kept."""
        if self.main is None:
            return ""
        kept = (c for c in self.main.history if c != self.main.coming and c in self.configs)
        return next(kept, "")

    @property
    def unfinished(self) -> str:
        """The configuration that an interrupted roll-back was going to, "" if none. The history is
        written last, and does not name it first yet, but where a shadow was taken away."""
        main = self.main
        going = main and (main.coming in main.history[1:] or main.pending in main.history)
        return main.coming if main and going else ""


@dataclass(frozen=True)
class Prerequisites:
    """`bucket` is "absent", "half-made" or "ready", `package` "absent", "same" or "other";
    `policies` are those of the role that we make, None without role; `boundary` is the ARN of what
    bounds it, "" if nothing does."""

    bucket: str
    package: str
    policies: tuple[str, ...] | None
    packages: Packages
    boundary: str = ""


def read(clients: AwsClients, names: Names) -> CurrentState:
    """The endpoint now. Raises NameTaken where an endpoint of its names is not ours."""
    main, candidate = (own(clients, names, n) for n in (names.endpoint, names.candidate))
    configs = _listed(clients, names, "list_endpoint_configs", "EndpointConfig")
    models = _listed(clients, names, "list_models", "Model")
    foreign = tuple(name for kind in (configs, models) for name in kind if not kind[name])
    found = described_config(clients, main.config) if main else None
    variant = variants_of(found) if found else None
    hosted = (_ours(configs), _ours(models), foreign, variant)
    captured = (found or {}).get("DataCaptureConfig", {}).get("DestinationS3Uri", "")
    return CurrentState(names, main, candidate, *hosted, alarms.read(clients, names), captured)


def read_prerequisites(clients: AwsClients, names: Names, desired: DesiredState) -> Prerequisites:
    """What is there of what `desired` stands on. Raises NameTaken or NotFound."""
    policies, boundary = _role(clients, names, desired)
    bucket = storage.bucket_state(clients, names)
    if bucket == "absent":
        none = Packages(names.bucket, names.folder)
        return Prerequisites(bucket, "absent", policies, none, boundary)
    found = packages(clients, names, names.bucket, names.folder)
    stored = storage.stored(clients, names, desired.package)
    return Prerequisites(bucket, stored, policies, found, boundary)


def _role(
    clients: AwsClients, names: Names, desired: DesiredState
) -> tuple[tuple[str, ...] | None, str]:
    """The policies of the role that we make, None where there is no such role, and its boundary. A
    template's role is what that says."""
    found = execution_role.described_role(clients, names) if desired.role else None
    if desired.role is None or found is None:
        return None, ""
    if TEMPLATE_TAG in values_of(found.get("Tags", [])):
        bound = desired.role["create"].get("PermissionsBoundary", "")
        return (desired.role["policy"]["PolicyName"],), bound
    found_policies = execution_role.role_policies(clients, names)[0]
    return found_policies, execution_role.boundary_of(found)


def endpoint(clients: AwsClients, name: str) -> Endpoint | None:
    """The endpoint without its history; None if there is none."""
    describe = ("sagemaker", "describe_endpoint", f"endpoint {name}")
    if (found := clients.call_if_there(*describe, EndpointName=name)) is None:
        return None
    arn, state = found["EndpointArn"], found["EndpointStatus"]
    coming = found.get("PendingDeploymentSummary", {})
    pending, since = coming.get("EndpointConfigName", ""), coming.get("StartTime")
    last = found.get("LastDeploymentConfig", {})
    config, reason = found.get("EndpointConfigName", ""), found.get("FailureReason", "")
    counts = _counts(found, "ProductionVariants")
    told = (reason, sum(counts.values()), _stage(coming), since, last)
    counts |= _counts(found, "ShadowProductionVariants")
    variants = found.get("ProductionVariants", [])
    serverless = any("CurrentServerlessConfig" in variant for variant in variants)
    facts: dict[str, Any] = {"counts": counts, "serverless": serverless}
    return Endpoint(name, arn, state, config, pending, *told, **facts)


def _counts(found: Mapping[str, Any], kind: str) -> dict[str, int]:
    return {one["VariantName"]: one.get(COUNT, 0) for one in found.get(kind, [])}


def _stage(coming: Mapping[str, Any]) -> str:
    """What SageMaker says that an update is at: of the first variant that says anything."""
    variants = coming.get("ProductionVariants", [])
    said = (status for variant in variants for status in variant.get("VariantStatus", [])[-1:])
    return next((s.get("StatusMessage") or s["Status"] for s in said), "")


def described_config(clients: AwsClients, config: str) -> Any:
    """An endpoint configuration as SageMaker describes it; None where there is none."""
    describe = ("sagemaker", "describe_endpoint_config", f"endpoint configuration {config}")
    return clients.call_if_there(*describe, EndpointConfigName=config) if config else None


def served(clients: AwsClients, config: str) -> tuple[str, Variants]:
    """The package (s3://...) that a configuration serves, and its production variants."""
    describe = ("sagemaker", "describe_endpoint_config", f"endpoint configuration {config}")
    variant = variants_of(clients.call(*describe, EndpointConfigName=config))
    return url_of_model(clients, variant["ModelName"]), variant


def own(clients: AwsClients, names: Names, name: str) -> Endpoint | None:
    """The endpoint with its history. Raises NameTaken when it is not ours."""
    found = endpoint(clients, name)
    if found is None or found.state == "Deleting":
        return found
    tags = tags_of(clients, found.arn, f"endpoint {name}")
    if tags.get(ENDPOINT_TAG) != names.made:
        if not tags and endpoint(clients, name) is None:  # gone meanwhile
            return None
        raise NameTaken(
            f"AWS {names.region}, endpoint {name}: it exists, and onnxferry did not make it;"
            " choose another name with --name (onnxferry needs NAME and NAME-candidate)"
        )
    return replace(found, tags=tags)


def tags_of(clients: AwsClients, arn: str, where: str) -> dict[str, str]:
    """The tags of a resource of SageMaker; none where it is gone."""
    try:
        return values_of(clients.pages("sagemaker", "list_tags", "Tags", where, ResourceArn=arn))
    except NotFound:
        return {}


def _listed(
    clients: AwsClients, names: Names, operation: str, kind: str
) -> dict[str, Tagged | None]:
    """Everything with a name like ours; None where it has not our mark."""
    where, prefix = f"{kind}s of {names.endpoint}", f"{names.endpoint}-"
    items = clients.pages("sagemaker", operation, f"{kind}s", where, NameContains=prefix)
    arns = {item[f"{kind}Name"]: item[f"{kind}Arn"] for item in items}
    found: dict[str, Tagged | None] = {}
    for name in sorted(filter(names.version_of, arns)):
        tags = tags_of(clients, arns[name], f"{kind} {name}")
        ours = tags.get(ENDPOINT_TAG) == names.made
        found[name] = Tagged(arns[name], tags) if ours else None
    return found


def _ours(found: Mapping[str, Tagged | None]) -> dict[str, Tagged]:
    return {name: tagged for name, tagged in found.items() if tagged}


def url_of_model(clients: AwsClients, model: str) -> str:
    """The package (s3://...) of a model."""
    found = clients.call("sagemaker", "describe_model", f"model {model}", ModelName=model)
    return str(found["PrimaryContainer"]["ModelDataUrl"])
