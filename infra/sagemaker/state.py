"""What is there: the endpoints with their states, configurations, models, the role. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, HISTORY_TAG
from onnxferry.infra.sagemaker.scope import Scope

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

    main: Endpoint | None
    candidate: Endpoint | None
    configs: tuple[str, ...]
    models: tuple[str, ...]

    @property
    def previous(self) -> str:
        """The configuration that a roll-back goes to; "" if none is kept."""
        if self.main is None:
            return ""
        return next(
            (c for c in self.main.history if c != self.main.coming and c in self.configs), ""
        )

    @property
    def unfinished(self) -> str:
        """The configuration that an interrupted roll-back was going to; "" if there is none: one
        that has proved itself is on its way or serves, and the record, which is written last, does
        not name it first."""
        if self.main is None or self.main.coming not in self.main.history[1:]:
            return ""
        return self.main.coming


def read(scope: Scope) -> CurrentState:
    """Raises NameTaken when somebody else has an endpoint of one of our names."""
    names = scope.names
    return CurrentState(
        own(scope, names.endpoint),
        own(scope, names.candidate),
        _listed(scope, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        _listed(scope, "list_models", "Models", "ModelName"),
    )


def endpoint(scope: Scope, name: str) -> Endpoint | None:
    """The endpoint `name`, without its tags; None if there is none."""
    try:
        found = scope.aws.call(
            "sagemaker", "describe_endpoint", f"endpoint {name}", {"EndpointName": name}
        )
    except NotFound:
        return None
    pending = found.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
    return Endpoint(
        name,
        found["EndpointArn"],
        found["EndpointStatus"],
        found.get("EndpointConfigName", ""),
        pending,
        found.get("FailureReason", ""),
        {},
    )


def model_url(scope: Scope, config: str) -> str:
    """The s3:// address of the package that a configuration serves."""
    found = scope.aws.call(
        "sagemaker",
        "describe_endpoint_config",
        f"endpoint configuration {config}",
        {"EndpointConfigName": config},
    )
    return url_of_model(scope, found["ProductionVariants"][0]["ModelName"])


def url_of_model(scope: Scope, model: str) -> str:
    """The s3:// address of a model's package."""
    found = scope.aws.call("sagemaker", "describe_model", f"model {model}", {"ModelName": model})
    return str(found["PrimaryContainer"]["ModelDataUrl"])


def role(scope: Scope) -> Mapping[str, Any] | None:
    """The role that we make, as IAM describes it; None if there is none. Raises NameTaken when it
    is not ours."""
    name = scope.names.role
    try:
        found: Mapping[str, Any] = scope.aws.call(
            "iam", "get_role", f"role {name}", {"RoleName": name}
        )["Role"]
    except NotFound:
        return None
    if _of_tags(found.get("Tags", [])).get(ENDPOINT_TAG) != scope.names.endpoint:
        raise NameTaken(
            f"AWS: a role {name} exists that onnxferry did not make; set sagemaker.role to the role"
            " to use, or choose another endpoint name with --name"
        )
    return found


def role_policies(scope: Scope) -> list[str]:
    """The names of the role's own policies."""
    name = scope.names.role
    found: list[str] = scope.aws.pages(
        "iam", "list_role_policies", "PolicyNames", f"role {name}", {"RoleName": name}
    )
    return found


def own(scope: Scope, name: str) -> Endpoint | None:
    """The endpoint with its tags. Raises NameTaken when it is not ours."""
    found = endpoint(scope, name)
    if found is None or found.state == "Deleting":
        return found
    arguments = {"ResourceArn": found.arn}
    tags = _of_tags(
        scope.aws.pages("sagemaker", "list_tags", "Tags", f"endpoint {name}", arguments)
    )
    if tags.get(ENDPOINT_TAG) != scope.names.endpoint:
        raise NameTaken(
            f"AWS {scope.aws.region}, endpoint {name}: it exists, and onnxferry did not make it, so"
            " it is left alone; choose another name with --name (onnxferry needs NAME and"
            " NAME-candidate)"
        )
    return Endpoint(name, found.arn, found.state, found.config, found.pending, found.reason, tags)


def _listed(scope: Scope, operation: str, key: str, name: str) -> tuple[str, ...]:
    prefix = f"{scope.names.endpoint}-"
    found = scope.aws.pages(
        "sagemaker", operation, key, f"{key} of {scope.names.endpoint}", {"NameContains": prefix}
    )
    return tuple(sorted(item[name] for item in found if scope.names.version_of(item[name])))


def _of_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
