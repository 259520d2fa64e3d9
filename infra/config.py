"""deploy.toml, the environment and the command line as one validated DeployConfig.

Flags win over the environment (ONNXFERRY_SAGEMAKER_REGION=...) and that over the file. Secrets
have no place here: the clouds' own sign-in holds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BaseModel, Field, StringConstraints, create_model
from pydantic_core import ErrorDetails

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging
from onnxferry.infra.config_texts import put
from onnxferry.scripts.model_table import ModelTable, read_toml
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import TARGETS
from onnxferry.targets import load as resolve

Guid = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]

# the start of the id of a resource of Azure, up to "Microsoft."
_ARM = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\."


class _Table(BaseModel):
    # the text below a field is its description: for error messages, the schema and `init`
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Target(_Table):
    rules: ClassVar[variables.Rules]
    tag_rules: ClassVar[tagging.TagRules] = tagging.AZURE
    wait_minutes: float = Field(30, gt=0, le=240)
    """Limit of each wait for the cloud, in minutes."""
    tags: dict[str, str] = {}
    """Tags put on every resource that is created."""
    environment: dict[str, str] = Field(
        {}, json_schema_extra={"propertyNames": {"pattern": variables.NAME}}
    )
    """Environment variables of the deployment, such as {ONNXFERRY_ENGINE_THREADS = "2"}."""

    @pydantic.field_validator("environment", mode="before")
    @classmethod
    def _allowed(cls, given: Any) -> Any:
        return variables.checked(given, cls.rules)

    @pydantic.field_validator("tags", mode="before")
    @classmethod
    def _taken(cls, given: Any) -> Any:
        return tagging.checked(given, cls.tag_rules)


class _Priced(_Target):
    prices: str | None = None
    """File of your own prices, for what `plan` estimates; default: list prices, where known."""


class SageMaker(_Priced):
    """Amazon SageMaker, a real-time endpoint. Sign in as the AWS CLI does."""

    rules, tag_rules = variables.SAGEMAKER, tagging.AWS
    region: str | None = Field(None, pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$")
    """Like eu-west-1; default: that of the AWS configuration."""
    profile: str | None = None
    """Profile of the AWS configuration."""
    bucket: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bucket for packages; default: onnxferry-ACCOUNT-REGION, created when it is absent."""
    prefix: str = Field("onnxferry", pattern=r"^[\w.-]+(/[\w.-]+)*$")
    """Key prefix in the bucket."""
    role: str | None = Field(None, pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/.+$")
    """ARN of the execution role; default: one is created with least privilege."""
    image: str | None = None
    """Image URI; default: the Hugging Face CPU container of the region."""
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.")
    """Instance type."""
    instance_count: int = Field(1, ge=1, le=100)
    """Number of instances."""


class _Azure(_Priced):
    subscription: Guid
    """Subscription id."""
    resource_group: str = Field(pattern=r"^[\w.()-]{0,89}[\w()-]$")
    """Resource group."""
    tenant: Guid | None = None
    """Tenant id; default: that of the sign-in."""


class AzureML(_Azure):
    """Azure Machine Learning, a managed online endpoint in a workspace that exists. Sign in with
    `az login`."""

    rules = variables.AZUREML
    workspace: str = Field(pattern=r"^[A-Za-z0-9][\w-]{2,32}$")
    """Workspace."""
    instance_type: str = Field("Standard_F2s_v2", pattern=r"^Standard_")
    """VM size."""
    instance_count: int = Field(1, ge=1, le=50)
    """Number of instances."""
    auth_mode: Literal["key", "aml_token", "aad_token"] = "key"
    """How a client proves who it is."""
    image: Literal["built", "prebuilt"] = "built"
    """Container: built in the workspace from the package's env.yml, or Microsoft's prebuilt
    inference image with the libraries beside the code, so that nothing is built."""

    @property
    def package_image(self) -> str:
        """The image that the package is for, as packages name it."""
        return "" if self.image == "built" else self.image

    keep_previous: bool = True
    """Keep the version that served before, for `rollback`; false spares its instances, for a small
    quota."""


class Functions(_Azure):
    """Azure Functions on Flex Consumption. Sign in with `az login`."""

    rules, tag_rules = variables.FUNCTIONS, tagging.STORAGE
    location: str = Field("westeurope", pattern=r"^[a-z0-9]+$")
    """Region; the group is created there."""
    storage_account: str | None = Field(None, pattern=r"^[a-z0-9]{3,24}$")
    """Storage account; default: named after the app, created."""
    instance_memory_mb: Literal[512, 2048, 4096] = 2048
    """Memory of an instance in MB."""
    maximum_instance_count: int = Field(40, ge=1, le=1000)
    """Most instances. Fewer than 40 throttle a burst of requests."""
    http_concurrency: int | None = Field(None, ge=1, le=1000)
    """Requests an instance at a time; default: what its memory allows."""
    always_ready: int = Field(0, ge=0, le=1000)
    """Instances that always run, billed by the hour; 0: none, and the first request waits."""
    application_insights: bool = True
    """Make Application Insights, which keeps the function's logs; false leaves it out."""
    subnet: str | None = Field(
        None, pattern=rf"(?i)^{_ARM}Network/virtualNetworks/[^/]+/subnets/[^/]+$"
    )
    """Resource id of the subnet that the app's outgoing connections leave by; it is delegated to
    Microsoft.App/environments."""
    identity: str | None = Field(
        None, pattern=rf"(?i)^{_ARM}ManagedIdentity/userAssignedIdentities/[^/]+$"
    )
    """Resource id of a user-assigned identity; default: the app's own identity alone."""
    auth: Literal["function", "anonymous", "entra"] = "function"
    """Who may call: whoever has a function key, anybody, or whom Microsoft Entra ID signed in."""
    entra_client_id: Guid | None = None
    """Application (client) id of the app registration, for auth = "entra"."""
    entra_audiences: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Audiences whose tokens are taken; default: api://ENTRA_CLIENT_ID."""
    allow_urls: bool = False
    """Fetch pictures that a request names by URL: https, from public addresses alone."""
    url_hosts: tuple[str, ...] = ()
    """Hosts that pictures are fetched from, like images.example.com or *.example.com; default:
    any."""
    requests_per_month: int | None = Field(None, ge=0)
    """Requests that `plan` estimates the cost for."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> Functions:
        if (self.auth == "entra") != bool(self.entra_client_id):
            raise variables.problem('auth = "entra" and entra_client_id go together')
        if self.entra_audiences and self.auth != "entra":
            raise variables.problem('entra_audiences needs auth = "entra"')
        if self.url_hosts and not self.allow_urls:
            raise variables.problem("url_hosts needs allow_urls = true")
        if self.always_ready > self.maximum_instance_count:
            most = f"maximum_instance_count ({self.maximum_instance_count})"
            raise variables.problem(f"always_ready ({self.always_ready}) is more than {most}")
        return self

    @pydantic.field_validator("url_hosts")
    @classmethod
    def _hosts(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return variables.hosts(given)

    @pydantic.field_validator("subnet")
    @classmethod
    def _named(cls, given: str | None) -> str | None:
        if given and "_" in given.rpartition("/")[2]:
            said = "an app on Flex Consumption takes no subnet with an underscore in its name"
            raise variables.problem(f"{said}; got {given.rpartition('/')[2]}")
        return given


class MLflow(_Target):
    """MLflow, a registered model in a tracking server's registry. Sign in by MLFLOW_TRACKING_TOKEN,
    or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or as Databricks' tools do."""

    rules, tag_rules = variables.MLFLOW, tagging.MLFLOW
    tracking_uri: str | None = None
    """Tracking server, like https://mlflow.example.com, databricks, azureml://... or
    sqlite:////srv/mlflow.db; default: MLFLOW_TRACKING_URI, else an SQLite file of the user's data
    folder."""
    registry_uri: str | None = None
    """Model registry, like databricks-uc; default: MLFLOW_REGISTRY_URI, else that of the tracking
    server."""
    experiment: str = Field("onnxferry", min_length=1, max_length=500)
    """Experiment that models are logged in; made when it is absent."""
    artifact_location: str | None = None
    """Where a new experiment keeps its files; default: as the server says, for SQLite beside it."""
    catalog_schema: str | None = Field(None, pattern=r"^[^./ ]+\.[^./ ]+$")
    """CATALOG.SCHEMA of the registered model, for databricks-uc."""
    deploy_to: Literal["registry", "sagemaker", "azureml"] = "registry"
    """Where the registered model is served: nowhere, or on an endpoint at SageMaker or AzureML with
    the settings of their tables; [sagemaker] then needs an image of MLflow's."""

    @property
    def package_image(self) -> str:
        """The image that the package is for, as packages name it."""
        return "azureml" if self.deploy_to == "azureml" else ""

    @pydantic.field_validator("tracking_uri", "registry_uri")
    @classmethod
    def _without_password(cls, given: str | None) -> str | None:
        return variables.without_password(given)

    @pydantic.model_validator(mode="after")
    def _three_levels(self) -> MLflow:
        registry = self.registry_uri or ""
        if registry.startswith("databricks-uc") and not self.catalog_schema:
            raise variables.problem(f"registry_uri {registry} needs catalog_schema, like main.ml")
        return self


class DeployConfig(_Table):
    """All of deploy.toml; the table of a target of which nothing is said is None."""

    model: ModelTable = ModelTable()
    sagemaker: SageMaker | None = None
    azureml: AzureML | None = None
    functions: Functions | None = None
    mlflow: MLflow | None = None


TABLES: dict[str, type[BaseModel]] = {
    "model": ModelTable,
    **{name: resolve(target.settings) for name, target in TARGETS.items() if target.settings},
}
_further: dict[str, Any] = {  # targets that have only a row and their own folders
    name: (table | None, None)
    for name, table in TABLES.items()
    if name not in DeployConfig.model_fields
}
ALL = create_model("DeployConfig", __base__=DeployConfig, **_further) if _further else DeployConfig


def load(
    target: str,
    file: Path,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> DeployConfig:
    """The configuration for `target`, whose table is present in the result.

    `flags` maps key paths ("sagemaker.region", "sagemaker.tags.team") to text, `environment` holds
    variables. A missing `file` is an empty one. Raises UsageError with all mistakes: key, where
    from, what was expected, what came.
    """
    data, origins = read_toml(file), dict[str, str]()
    for path, value in _variables(environment or {}).items():
        put(data, TABLES, path, value)
        origins[path] = _variable(path)
    for path, value in (flags or {}).items():
        put(data, TABLES, path, value)
        origins[path] = f"--set {path}"
    data.setdefault(target, {})
    try:
        return ALL.model_validate(data)
    except pydantic.ValidationError as e:
        mistakes = e.errors(include_url=False)
        lines = "".join(f"\n  {_mistake(mistake, file, origins)}" for mistake in mistakes)
        keys = f"Keys and defaults: {program('init')} --target {target}"
        raise UsageError(f"the configuration is not valid:{lines}\n{keys}") from e


def settings_of(settings: Iterable[str], target: str) -> dict[str, str]:
    """KEY=VALUE texts by key path; one without a table, like tags.team=ml, is `target`'s. Raises
    UsageError."""
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            example = "region=eu-west-1 or model.name=squad"
            raise UsageError(f"--set {setting}: give KEY=VALUE, like {example}")
        table = key.partition(".")[0]
        own = "." not in key or table in TABLES[target].model_fields
        found[f"{target}.{key}" if own else key] = value
    return found


def schema() -> dict[str, Any]:
    """The JSON schema of deploy.toml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ALL.model_json_schema()}


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Key path -> value of the variables that name a table; an unknown key is a mistake, later."""
    found = {}
    for name, value in sorted(environment.items()):
        table, _, key = name.removeprefix(variables.PREFIX).lower().partition("_")
        if name.startswith(variables.PREFIX) and table in TABLES and key:
            found[f"{table}.{key}"] = value
    return found


def _variable(path: str) -> str:
    return variables.PREFIX + path.replace(".", "_").upper()


def _mistake(error: ErrorDetails, file: Path, origins: Mapping[str, str]) -> str:
    """What is wrong with one key, and where it was set."""
    table, key, *_ = (*map(str, error["loc"]), "")
    path = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        ways = f"in {file}, as {_variable(path)} or with --set {path}=..."
        return f"{path}: needed, and not set; set it {ways}"
    start = f"{path} ({_origin(path, origins, file)})"
    known = (TABLES[table] if key else ALL).model_fields
    if error["type"] == "extra_forbidden":
        return f"{start}: no such key; known: {', '.join(sorted(known))}"
    if error["type"] == variables.PROBLEM:
        return f"{start}: {error['msg']}"
    meaning = f" [{' '.join((known[key].description or '').split())}]" if key in known else ""
    return f"{start}: {error['msg']}; got {error['input']!r:.80}{meaning}"


def _origin(path: str, origins: Mapping[str, str], file: Path) -> str:
    """Where a key was set: by itself, by one below it, or with the table that holds it."""
    below = [origin for p, origin in origins.items() if f"{p}.".startswith(f"{path}.")]
    above = [origin for p, origin in origins.items() if f"{path}.".startswith(f"{p}.")]
    return [str(file), *above, *below][-1]


if __name__ == "__main__":  # python -m infra.config > infra/deploy.schema.json
    print(json.dumps(schema(), indent=2))
