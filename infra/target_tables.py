"""The table of each target in deploy.toml: its keys, their meaning, defaults and rules."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BaseModel, Field, StringConstraints

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging

Guid = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]


def _id(kind: str, *kinds: str) -> Any:
    """The field of a resource of Azure, by its id: of a `kind`, or of one in another."""
    form = "/subscriptions/{0}/resourceGroups/{0}/providers/Microsoft." + kind + "/{0}"
    form += "".join(f"/{inner}/{{0}}" for inner in kinds)
    pattern = "(?i)^" + form.replace(".", r"\.").format("[^/]+") + "$"
    return Field(None, pattern=pattern, examples=[form.format("...")])


class Table(BaseModel):
    """What all tables are: frozen, and without keys of their own."""

    # the text below a field is its description: for error messages, the schema and `init`
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Target(Table):
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
    subnet: str | None = _id("Network/virtualNetworks", "subnets")
    """Resource id of the subnet that the app's outgoing connections leave by; it is delegated to
    Microsoft.App/environments."""
    identity: str | None = _id("ManagedIdentity/userAssignedIdentities")
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
