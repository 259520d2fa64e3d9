"""deploy.toml, the environment and the command line as one validated DeployConfig.

Flags win over the environment (ONNXFERRY_SAGEMAKER_REGION=...) and that over the file. All that is
wrong is reported at once, each with the key's path. Secrets have no place here: the clouds' own
sign-in holds them, and an unknown key such as `password` is an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic.fields import FieldInfo

from onnxferry.infra import environment_variables as variables
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import TARGETS
from onnxferry.targets import load as resolve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("deploy.toml")
PREFIX = "ONNXFERRY_"

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]$")]
Guid = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelTable(_Table):
    """What is deployed."""

    path: Path | None = Field(
        None, description="Model directory; default: the only one in build/models."
    )
    name: Name | None = Field(
        None,
        description=(
            "The endpoint's name: 3-32 letters, digits and hyphens; default: made of the model's"
            " name."
        ),
    )
    python: str | None = Field(
        None, description='Python of the host, like "3.12"; default: the platform\'s.'
    )


class _Target(_Table):
    rules: ClassVar[variables.Rules]
    wait_minutes: float = Field(
        30, gt=0, le=240, description="Limit of each wait for the cloud, in minutes."
    )
    tags: dict[str, str] = Field(
        default_factory=dict, description="Tags put on every resource that is created."
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description=(
            'Environment variables of the deployment, such as {ONNXFERRY_ENGINE_THREADS = "2"}.'
        ),
        json_schema_extra={"propertyNames": {"pattern": variables.NAME}},
    )

    @field_validator("environment", mode="before")
    @classmethod
    def _allowed(cls, given: Any) -> Any:
        return variables.checked(given, cls.rules)


class SageMaker(_Target):
    """Amazon SageMaker, a real-time endpoint. Sign in as the AWS CLI does."""

    rules = variables.SAGEMAKER
    region: str | None = Field(
        None,
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$",
        description="Like eu-west-1; default: that of the AWS configuration.",
    )
    profile: str | None = Field(None, description="Profile of the AWS configuration.")
    bucket: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description=(
            "Bucket for packages; default: onnxferry-ACCOUNT-REGION, created when it is absent."
        ),
    )
    prefix: str = Field(
        "onnxferry", pattern=r"^[\w.-]+(/[\w.-]+)*$", description="Key prefix in the bucket."
    )
    role: str | None = Field(
        None,
        pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/.+$",
        description="ARN of the execution role; default: one is created with least privilege.",
    )
    image: str | None = Field(
        None, description="Image URI; default: the Hugging Face CPU container of the region."
    )
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.", description="Instance type.")
    instance_count: int = Field(1, ge=1, le=100, description="Number of instances.")


class _Azure(_Target):
    subscription: Guid = Field(description="Subscription id.")
    resource_group: str = Field(pattern=r"^[\w.()-]{0,89}[\w()-]$", description="Resource group.")
    tenant: Guid | None = Field(None, description="Tenant id; default: that of the sign-in.")


class AzureML(_Azure):
    """Azure Machine Learning, a managed online endpoint in a workspace that exists. Sign in with
    `az login`."""

    rules = variables.AZUREML
    workspace: str = Field(pattern=r"^[A-Za-z0-9][\w-]{2,32}$", description="Workspace.")
    instance_type: str = Field("Standard_F2s_v2", pattern=r"^Standard_", description="VM size.")
    instance_count: int = Field(1, ge=1, le=50, description="Number of instances.")
    auth_mode: Literal["key", "aml_token", "aad_token"] = Field(
        "key", description="How a client proves who it is."
    )


class Functions(_Azure):
    """Azure Functions on Flex Consumption. Sign in with `az login`."""

    rules = variables.FUNCTIONS
    location: str = Field(
        "westeurope", pattern=r"^[a-z0-9]+$", description="Region; the group is created there."
    )
    storage_account: str | None = Field(
        None,
        pattern=r"^[a-z0-9]{3,24}$",
        description="Storage account; default: named after the app, created.",
    )
    instance_memory_mb: Literal[512, 2048, 4096] = Field(
        2048, description="Memory of an instance in MB."
    )
    maximum_instance_count: int = Field(40, ge=40, le=1000, description="Most instances.")
    http_concurrency: int | None = Field(
        None, ge=1, le=1000, description="Requests an instance at a time."
    )


class DeployConfig(_Table):
    """All of deploy.toml; a target's table is None where neither it nor a flag nor the environment
    says anything."""

    model: ModelTable = ModelTable()
    sagemaker: SageMaker | None = None
    azureml: AzureML | None = None
    functions: Functions | None = None


TABLES: dict[str, type[BaseModel]] = {
    "model": ModelTable,
    **{name: resolve(target.settings) for name, target in TARGETS.items() if target.settings},
}
_further: dict[str, Any] = {  # a target that has only a row and its own folders
    name: (table | None, None)
    for name, table in TABLES.items()
    if name not in DeployConfig.model_fields
}
ALL = create_model("DeployConfig", __base__=DeployConfig, **_further) if _further else DeployConfig


def load(
    target: str,
    file: Path = FILE,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> DeployConfig:
    """The configuration for `target`, whose table is present in the result.

    `flags` maps key paths ("sagemaker.region", "model.name") to text, `environment` holds
    variables. A missing `file` is an empty one. Raises UsageError that lists all mistakes: key
    path, where from, what was expected, what came.
    """
    data, origins = _read(file), dict[str, str]()
    for path, value in _variables(environment or {}).items():
        _put(data, path, value)
        origins[path] = _variable(path)
    for path, value in (flags or {}).items():
        _put(data, path, value)
        origins[path] = f"--set {path}"
    data.setdefault(target, {})
    try:
        return ALL.model_validate(data)
    except ValidationError as e:
        lines = "\n".join(f"  {line}" for line in _complaints(e, file, origins))
        raise UsageError(
            f"the configuration is not valid:\n{lines}\nKeys and defaults: {program('init')}"
            f" --target {target}"
        ) from e


def settings_of(settings: Iterable[str], target: str) -> dict[str, str]:
    """KEY=VALUE texts as key paths and values; a key without a table is one of `target`'s. Raises
    UsageError."""
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise UsageError(
                f"--set {setting}: give KEY=VALUE, like region=eu-west-1 or model.name=squad"
            )
        found[key if "." in key else f"{target}.{key}"] = value
    return found


def schema() -> dict[str, Any]:
    """The JSON schema of deploy.toml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ALL.model_json_schema()}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"{file}: not readable as TOML: {e}") from e


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Key path -> value of the variables that name a table, those that it has no key for too: they
    are mistakes."""
    found = {}
    for name, value in sorted(environment.items()):
        table, _, key = name.removeprefix(PREFIX).lower().partition("_")
        if name.startswith(PREFIX) and table in TABLES and key:
            found[f"{table}.{key}"] = value
    return found


def _variable(path: str) -> str:
    return PREFIX + path.replace(".", "_").upper()


def _put(data: dict[str, Any], path: str, value: str) -> None:
    table, _, key = path.partition(".")
    inside = data.setdefault(table, {})
    if isinstance(inside, dict):
        inside[key] = value


def _complaints(e: ValidationError, file: Path, origins: Mapping[str, str]) -> Iterator[str]:
    for error in e.errors(include_url=False):
        path = ".".join(map(str, error["loc"]))
        where = origins.get(path) or next(
            (o for p, o in origins.items() if p.startswith(f"{path}.")), str(file)
        )
        if error["type"] == "missing":
            ways = f"in {file}, as {_variable(path)} or with --set {path}=..."
            yield f"{path}: needed, and not set; set it {ways}"
        elif error["type"] == "extra_forbidden":
            known = ", ".join(sorted(_fields(error["loc"])))
            yield f"{path} ({where}): no such key; known: {known}"
        elif error["type"] == variables.PROBLEM:
            yield f"{path} ({where}): {error['msg']}"
        else:
            field = _fields(error["loc"]).get(str(error["loc"][1] if len(error["loc"]) > 1 else ""))
            meaning = f" [{field.description}]" if field else ""
            yield f"{path} ({where}): {error['msg']}; got {error['input']!r:.80}{meaning}"


def _fields(location: tuple[int | str, ...]) -> Mapping[str, FieldInfo]:
    """The known keys where the key at `location` stands."""
    return (TABLES[str(location[0])] if len(location) > 1 else ALL).model_fields


if __name__ == "__main__":  # python -m infra.config > infra/deploy.schema.json
    print(json.dumps(schema(), indent=2))
