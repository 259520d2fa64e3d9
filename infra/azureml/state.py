"""What is in the workspace for one endpoint now, read once, as frozen data for plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import MADE, PREVIOUS, ROLLING, Names
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azureml import Workspace
from onnxferry.infra.clients.azureml_endpoints import OnlineEndpoints
from onnxferry.infra.clients.azureml_facts import Datastore, ManagedDeployment, ManagedEndpoint
from onnxferry.infra.clients.groups import ArmResources
from onnxferry.infra.errors import NotFound

# of codes, and of deleting models and environments, which the SDK does not offer
API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Clients:
    """The clients of the services that an endpoint needs."""

    session: AzureSession
    workspace: Workspace
    endpoints: OnlineEndpoints
    resources: ArmResources

    @classmethod
    def of(cls, session: AzureSession, names: Names) -> Clients:
        """The clients for the workspace of `names`. Sends nothing."""
        workspace = Workspace(session, names.group, names.workspace)
        resources = ArmResources(session, API_VERSION)
        return cls(session, workspace, OnlineEndpoints(workspace), resources)


@dataclass(frozen=True)
class CurrentState:
    """The endpoint with its deployments, and whether it and each of them are ours."""

    names: Names
    location: str
    endpoint: ManagedEndpoint | None
    deployments: Sequence[ManagedDeployment] = ()

    @property
    def ours(self) -> dict[str, ManagedDeployment]:
        """The deployments that onnxferry made, by name."""
        return {d.name: d for d in self.deployments if self.is_ours(d.tags)}

    @property
    def others(self) -> set[str]:
        """The names of the other deployments."""
        return {d.name for d in self.deployments} - set(self.ours)

    @property
    def traffic(self) -> Mapping[str, int]:
        """Percentages by deployment, without zeros."""
        return self.endpoint.traffic if self.endpoint else {}

    @property
    def serving(self) -> str:
        """The deployment that takes most of the traffic; "" if none does."""
        return max(self.traffic, key=lambda name: self.traffic[name], default="")

    @property
    def previous(self) -> str:
        """The deployment that served before, if it is still there."""
        name = self._tag(PREVIOUS)
        return name if name in self.ours else ""

    @property
    def rolling(self) -> str:
        """The deployment that an interrupted roll-back gave the traffic to, if it has it still."""
        name = self._tag(ROLLING)
        return name if name == self.serving and name in self.ours else ""

    @property
    def mirrored(self) -> Mapping[str, int]:
        """The deployments that get a copy of the traffic, as percentages."""
        return self.endpoint.mirror if self.endpoint else {}

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether `tags` are those of something that deploying this endpoint made."""
        return tags.get(MADE) == self.names.endpoint

    def _tag(self, name: str) -> str:
        return self.endpoint.tags.get(name, "") if self.endpoint else ""


@dataclass(frozen=True)
class Registered:
    """Which kinds ("model", "code", "environment") of a desired state are registered already, and
    the datastore for the others."""

    kinds: frozenset[str]
    datastore: Datastore


@dataclass(frozen=True)
class Assets:
    """What deploying left in the workspace: (kind, version) of what is registered, and the names of
    the files."""

    versions: Sequence[tuple[str, str]] = ()
    files: Sequence[str] = ()


def read_state(clients: Clients, names: Names) -> CurrentState:
    """The endpoint now. Raises NotFound when there is no such workspace."""
    location = clients.workspace.location()
    endpoint = clients.endpoints.endpoint(names.endpoint)
    deployments = clients.endpoints.deployments(names.endpoint) if endpoint else ()
    return CurrentState(names, location, endpoint, deployments)


def read_registered(clients: Clients, names: Names, desired: DesiredState) -> Registered:
    """What of `desired` is registered already."""
    kinds = {
        kind
        for kind, version in desired.versions.items()
        if clients.resources.exists(names.id(kind, version))
    }
    return Registered(frozenset(kinds), clients.workspace.datastore())


def read_assets(clients: Clients, names: Names) -> Assets:
    """What deploying the endpoint left in the workspace. A code has no tags: its files say that it
    may be there."""
    files = sorted(clients.workspace.blobs().list(f"{names.folder}/"))
    folders = {name.split("/")[2] for name in files}
    codes = [f.removeprefix("code-") for f in sorted(folders) if f.startswith("code-")]
    found = {
        "model": _ours(clients.workspace.models(names.endpoint), names),
        "environment": _ours(clients.workspace.environments(names.endpoint), names),
        "code": [code for code in codes if clients.resources.exists(names.id("code", code))],
    }
    return Assets([(kind, v) for kind, versions in found.items() for v in versions], files)


def serving_endpoint(clients: Clients, names: Names) -> ManagedEndpoint:
    """The endpoint. Raises NotFound when there is none."""
    endpoint = clients.endpoints.endpoint(names.endpoint)
    if endpoint is None:
        raise NotFound(
            f"endpoint {names.endpoint}: workspace {names.workspace} of resource group"
            f" {names.group} has none of that name; check name and workspace in deploy.toml, or"
            " deploy it first"
        )
    return endpoint


def _ours(found: Mapping[str, Mapping[str, str]], names: Names) -> list[str]:
    return sorted(version for version, tags in found.items() if tags.get(MADE) == names.endpoint)
