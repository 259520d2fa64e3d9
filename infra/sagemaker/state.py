"""What is there: endpoints and their states, configurations, models, role, packages. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.desired import DesiredState, instances
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, HISTORY_TAG, Names, log_group
from onnxferry.infra.sagemaker.storage import Packages

BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
BROKEN = frozenset({"Failed", "OutOfService"})  # nothing but deletion helps


@dataclass(frozen=True)
class Endpoint:
    """An endpoint. `config` serves, or is being created; `pending` is on its way, "" if none."""

    name: str
    arn: str
    state: str
    config: str
    pending: str
    reason: str
    tags: Mapping[str, str]

    @property
    def coming(self) -> str:
        """The configuration that serves when all that is under way is done."""
        return self.pending or self.config

    @property
    def history(self) -> tuple[str, ...]:
        """The configurations that have served here and proved themselves, newest first."""
        return tuple(self.tags.get(HISTORY_TAG, "").split())


@dataclass(frozen=True)
class CurrentState:
    """What SageMaker has of an endpoint; configurations and models are names, older versions'
    too."""

    names: Names
    main: Endpoint | None
    candidate: Endpoint | None
    configs: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def version(self) -> str:
        """The version that serves, or is being created; "" if none."""
        return self.names.version_of(self.main.config) if self.main else ""

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
        """The configuration that an interrupted roll-back was going to; "" if there is none: one
        that has proved itself is on its way or serves, and the history, which is written last, does
        not name it first."""
        if self.main is None or self.main.coming not in self.main.history[1:]:
            return ""
        return self.main.coming


@dataclass(frozen=True)
class Prerequisites:
    """What a deployment stands on. `bucket` is "absent", "half-made" or "ready", `package`
    "absent", "same" or "other"; `policies` are those of the role that we make, None if there is no
    role; `packages` are those in the bucket."""

    bucket: str
    package: str
    policies: frozenset[str] | None
    packages: Packages


@dataclass(frozen=True)
class OwnedResources:
    """What else deploying made for the endpoint: packages, log groups, and whether the role."""

    packages: tuple[Packages, ...]
    logs: tuple[str, ...]
    role: bool


def read(clients: AwsClients, names: Names) -> CurrentState:
    """The endpoint now. Raises NameTaken when somebody else has an endpoint of one of our names."""
    return CurrentState(
        names,
        own(clients, names, names.endpoint),
        own(clients, names, names.candidate),
        _listed(clients, names, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        _listed(clients, names, "list_models", "Models", "ModelName"),
    )


def read_prerequisites(clients: AwsClients, names: Names, desired: DesiredState) -> Prerequisites:
    """What is there of what `desired` stands on. Raises NameTaken or NotFound where it cannot be
    had."""
    policies = role_policies(clients, names) if desired.role else None
    bucket = storage.bucket_state(clients, names)
    if bucket == "absent":
        return Prerequisites(bucket, "absent", policies, Packages(names.bucket, names.prefix))
    found = storage.packages(clients, names.bucket, names.prefix)
    return Prerequisites(bucket, storage.stored(clients, desired.package), policies, found)


def read_owned(clients: AwsClients, state: CurrentState) -> OwnedResources:
    """Packages are looked for where they are put now, and where the models say, which may be
    older."""
    names = state.names
    places = {(names.bucket, names.prefix)}
    for model in state.models:
        bucket, key = storage.split(_url_of_model(clients, model))
        places.add((bucket, "/".join(key.split("/")[:-2]) + "/"))
    packages = tuple(storage.packages(clients, *place) for place in sorted(places))
    role = not names.settings.role and role_policies(clients, names) is not None
    return OwnedResources(packages, _log_groups(clients, names), role)


def endpoint(clients: AwsClients, name: str) -> Endpoint | None:
    """The endpoint `name`, without its tags; None if there is none."""
    request = {"EndpointName": name}
    try:
        found = clients.call("sagemaker", "describe_endpoint", f"endpoint {name}", request)
    except NotFound:
        return None
    return Endpoint(
        name,
        found["EndpointArn"],
        found["EndpointStatus"],
        found.get("EndpointConfigName", ""),
        found.get("PendingDeploymentSummary", {}).get("EndpointConfigName", ""),
        found.get("FailureReason", ""),
        {},
    )


def served(clients: AwsClients, config: str) -> tuple[str, str]:
    """The s3:// address of the package that a configuration serves, and on what instances."""
    where, request = f"endpoint configuration {config}", {"EndpointConfigName": config}
    found = clients.call("sagemaker", "describe_endpoint_config", where, request)
    variant = found["ProductionVariants"][0]
    return _url_of_model(clients, variant["ModelName"]), instances(variant)


def role_policies(clients: AwsClients, names: Names) -> frozenset[str] | None:
    """The policies of the role that we make; None if there is no role. Raises NameTaken when it is
    not ours."""
    where, request = f"role {names.role}", {"RoleName": names.role}
    try:
        found = clients.call("iam", "get_role", where, request)["Role"]
    except NotFound:
        return None
    if _mapping(found.get("Tags", [])).get(ENDPOINT_TAG) != names.endpoint:
        raise NameTaken(
            f"AWS: a role {names.role} exists that onnxferry did not make; set sagemaker.role to"
            " the role to use, or choose another endpoint name with --name"
        )
    return frozenset(clients.pages("iam", "list_role_policies", "PolicyNames", where, request))


def own(clients: AwsClients, names: Names, name: str) -> Endpoint | None:
    """The endpoint with its tags. Raises NameTaken when it is not ours."""
    found = endpoint(clients, name)
    if found is None or found.state == "Deleting":
        return found
    tags = _tags(clients, found)
    if tags.get(ENDPOINT_TAG) != names.endpoint:
        raise NameTaken(
            f"AWS {names.region}, endpoint {name}: it exists, and onnxferry did not make it, so it"
            " is left alone; choose another name with --name (onnxferry needs NAME and"
            " NAME-candidate)"
        )
    return replace(found, tags=tags)


def _tags(clients: AwsClients, found: Endpoint) -> dict[str, str]:
    request = {"ResourceArn": found.arn}
    return _mapping(
        clients.pages("sagemaker", "list_tags", "Tags", f"endpoint {found.name}", request)
    )


def _listed(
    clients: AwsClients, names: Names, operation: str, key: str, name: str
) -> tuple[str, ...]:
    where, request = f"{key} of {names.endpoint}", {"NameContains": f"{names.endpoint}-"}
    found = clients.pages("sagemaker", operation, key, where, request)
    return tuple(sorted(item[name] for item in found if names.version_of(item[name])))


def _url_of_model(clients: AwsClients, model: str) -> str:
    found = clients.call("sagemaker", "describe_model", f"model {model}", {"ModelName": model})
    return str(found["PrimaryContainer"]["ModelDataUrl"])


def _log_groups(clients: AwsClients, names: Names) -> tuple[str, ...]:
    """The endpoint's log groups, the candidate's too."""
    known = {log_group(name) for name in (names.endpoint, names.candidate)}
    request = {"logGroupNamePrefix": log_group(names.endpoint)}
    found = clients.pages("logs", "describe_log_groups", "logGroups", "log groups", request)
    return tuple(sorted(known & {group["logGroupName"] for group in found}))


def _mapping(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
