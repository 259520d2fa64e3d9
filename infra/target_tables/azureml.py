"""The table of AzureML, and the tables in it: on what an endpoint runs, how a new version takes
over, how it is scaled, who reaches it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Discriminator, Field, StringConstraints, Tag

from onnxferry.infra import environment_variables as variables
from onnxferry.infra.target_tables.azure import AzureTable, resource_id
from onnxferry.infra.target_tables.rollout import AzureMLRollout
from onnxferry.infra.target_tables.scaling import AzureMLScaling
from onnxferry.infra.target_tables.table import Table

ImageName = Annotated[
    str, StringConstraints(pattern=r"^[\w.-]+(:\d+)?/[\w./-]+(:[\w.-]+|@sha256:[0-9a-f]{64})$")
]
ClusterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,22}[A-Za-z0-9]$")]


class Managed(Table):
    """On instances that Azure keeps."""

    mode: Literal["managed"] = "managed"
    """A managed online endpoint."""
    instance_type: str = Field("Standard_F2s_v2", pattern=r"^Standard_")
    """VM size."""
    instance_count: int = Field(1, ge=1, le=50)
    """Number of instances."""


class Kubernetes(Table):
    """On a Kubernetes cluster of yours that is attached to the workspace."""

    mode: Literal["kubernetes"]
    """A Kubernetes online endpoint."""
    compute: ClusterName
    """Name that the cluster is attached by, which settles the namespace, too."""
    instance_type: str = Field("defaultinstancetype", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    """Instance type (InstanceType) of the cluster."""
    instance_count: int = Field(1, ge=1, le=50)
    """Number of pods."""
    cpu: float | None = Field(None, gt=0, le=256)
    """Cores that each pod is given, less than the instance type's limit; with memory_mb. Default:
    by the instance type."""
    memory_mb: int | None = Field(None, ge=128)
    """Memory that each pod is given, in MB, less than the instance type's limit; with cpu."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> Kubernetes:
        if (self.cpu is None) != (self.memory_mb is None):
            raise variables.problem("a pod is given both cpu and memory_mb, or neither")
        return self


def _mode(given: Any) -> Any:
    return given.get("mode", "managed") if isinstance(given, dict) else getattr(given, "mode", "")


Serving = Annotated[
    Annotated[Managed, Tag("managed")] | Annotated[Kubernetes, Tag("kubernetes")],
    Discriminator(_mode),
]


class AzureMLRequests(Table):
    """How the platform hands requests to a container, and how long it waits."""

    timeout_seconds: float | None = Field(None, gt=0, le=180)
    """Longest time of one request; default: by the package's rehearsal, 90 without one."""
    concurrency: int | None = Field(None, ge=1, le=1000)
    """Requests that a container is sent at a time, by as many threads; default: 8."""
    queue_seconds: float | None = Field(None, gt=0, le=180)
    """Longest time that a request waits for its turn; default: the platform's. Azure's interface
    calls it deprecated for managed endpoints, where timeout_seconds counts the waiting too."""
    start_minutes: int | None = Field(None, ge=5, le=60)
    """How long a container may take to load the model; default: by the package's rehearsal, at
    least 5."""


class AzureMLNetwork(Table):
    """Who reaches the endpoint, and what its containers reach."""

    public: bool = True
    """Take requests from the internet; false: only by the workspace's private endpoint."""
    egress: bool = True
    """Let the containers connect to the internet; false: the deployment reaches only the workspace,
    by private endpoints."""


class AzureMLCapture(Table):
    """Keep requests and answers in the workspace's blobs, as they are (the data collector)."""

    percent: int = Field(100, ge=1, le=100)
    """Part of the requests, in percent."""
    redact: bool = False
    """Keep the answers alone, and nothing of what was sent."""


class AzureMLBatch(Table):
    """What batch jobs run on."""

    compute: ClusterName | None = None
    """Compute cluster that exists; default: onnxferry-batch, made when it is absent, which costs
    nothing while no job runs."""
    instance_type: str = Field("Standard_F2s_v2", pattern=r"^Standard_")
    """VM size of the cluster that is made."""
    low_priority: bool = False
    """Make the cluster of low-priority instances: cheaper, and taken away at any time."""


class AzureML(AzureTable):
    """Azure Machine Learning, an online endpoint in a workspace that exists. Sign in with
    `az login`. What is not set of subscription, resource_group and workspace comes from the
    workspace's config.json, where there is one."""

    rules = variables.AZUREML
    workspace: str = Field(pattern=r"^[A-Za-z0-9][\w-]{2,32}$")
    """Workspace."""
    auth_mode: Literal["key", "aml_token", "aad_token"] = "key"
    """How a client proves who it is."""
    image: Literal["conda", "prebuilt"] | ImageName = "conda"
    """Container: built in the workspace from the package's env.yml, or Microsoft's prebuilt
    inference image, or an image of yours (REGISTRY/NAME:TAG) that has Microsoft's inference server;
    on these two the libraries lie beside the code, so that nothing is built."""
    identity: str | None = resource_id("ManagedIdentity/userAssignedIdentities")
    """Resource id of a user-assigned identity that the endpoint has; default: one of its own."""
    keep_previous: bool = True
    """Keep the version that served before, for `rollback`; false spares its instances, for a small
    quota."""
    serving: Serving = Managed()
    """On what it runs: instances of Azure's, or a Kubernetes cluster."""
    requests: AzureMLRequests = AzureMLRequests()
    """Limits of time and number."""
    rollout: AzureMLRollout = AzureMLRollout()
    """How a new version takes over."""
    scaling: AzureMLScaling | None = None
    """Autoscaling; default: none."""
    network: AzureMLNetwork = AzureMLNetwork()
    """Who reaches it, and what it reaches."""
    capture: AzureMLCapture | None = None
    """Keep requests and answers; default: nothing is kept."""
    batch: AzureMLBatch = AzureMLBatch()
    """What batch jobs run on."""

    @property
    def package_image(self) -> str:
        """The image that the package is for, as packages name it."""
        return "" if self.image == "conda" else "prebuilt"

    @pydantic.model_validator(mode="after")
    def _fit(self) -> AzureML:
        if problems := list(self._problems()):
            raise variables.problem("; ".join(problems))
        return self

    def _problems(self) -> Any:
        """What does not go together."""
        if self.rollout.mirror and not self.capture:
            yield (
                "rollout.mirror compares captured answers: add a table [azureml.capture] (it may be"
                " empty; requests and answers are then kept in the workspace's blobs)"
            )
        yield from self._problems_requests()
        if self.image == "prebuilt" and not self.network.egress:
            yield (
                "network.egress = false keeps the containers from Microsoft's registry, where the"
                " prebuilt image is: push it to the workspace's registry and name it as image, or"
                ' take image = "conda"'
            )
        if isinstance(self.serving, Kubernetes):
            yield from self._problems_kubernetes()
        count = self.serving.instance_count
        if self.scaling and count > self.scaling.max:
            yield f"instance_count ({count}) is more than scaling.max ({self.scaling.max})"

    def _problems_requests(self) -> Any:
        asked = self.requests
        threads = sorted({"WORKER_COUNT", "GUNICORN_CMD_ARGS"} & set(self.environment))
        if asked.concurrency and threads:
            said = "requests.concurrency sets the threads of the server"
            yield f"{said}: leave {' and '.join(threads)} out of environment"
        if asked.start_minutes and asked.start_minutes > self.wait_minutes:
            said = f"wait_minutes ({self.wait_minutes:g}) ends the wait for a container that"
            yield f"{said} requests.start_minutes ({asked.start_minutes}) allows to load for longer"

    def _problems_kubernetes(self) -> Any:
        without = 'serving.mode = "kubernetes" has no'
        if self.rollout.mirror:
            yield f"{without} mirrored traffic: leave rollout.mirror out"
        if not (self.network.public and self.network.egress):
            yield f"{without} network of Azure's: its cluster has its own; leave network out"
        if self.auth_mode == "aad_token":
            yield f'{without} auth_mode = "aad_token"; it has key and aml_token'
        if self.rollout.traffic != "all_at_once" and self.rollout.checks:
            yield f"{without} metrics in Azure Monitor to check: set rollout.checks = false"
        yield from self._problems_pods(without)

    def _problems_pods(self, without: str) -> Any:
        """Of autoscaling by the router in the cluster."""
        table = self.scaling
        if table and (table.target or table.schedule):
            yield (
                f"{without} scaling by requests or at given times: its router keeps so many percent"
                " of the pods busy; leave scaling.target and scaling.schedule out"
            )
        if table and "scale_in_seconds" in table.model_fields_set:
            yield f"{without} scaling.scale_in_seconds: pods go by the router's own rule"
