"""What the workspace has for one endpoint now, as frozen data for plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import MADE, PREVIOUS, ROLLING, Names
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import ArmResources
from onnxferry.infra.clients.azureml import Workspace
from onnxferry.infra.clients.azureml_endpoints import OnlineEndpoints
from onnxferry.infra.clients.azureml_types import Datastore, ManagedDeployment, ManagedEndpoint
from onnxferry.infra.errors import NotFound

# of codes, and of deleting models and environments, which the SDK does not offer
API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Clients:
    """The clients that an endpoint needs."""

    session: AzureSession
    workspace: Workspace
    endpoints: OnlineEndpoints
    resources: ArmResources

    @classmethod
    def of(cls, session: AzureSession, names: Names) -> Clients:
        """The clients for the workspace of `names`. Sends nothing."""
        space = Workspace(session, names.group, names.workspace)
        return cls(session, space, OnlineEndpoints(space), ArmResources(session, API_VERSION))


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
        name = self.tags.get(PREVIOUS, "")
        return name if name in self.ours else ""

    @property
    def rolling(self) -> str:
        """The deployment that a cut-off roll-back gave the traffic to, if it has it still."""
        name = self.tags.get(ROLLING, "")
        return name if name == self.serving and name in self.ours else ""

    @property
    def mirrored(self) -> Mapping[str, int]:
        """Percentages of traffic copied, by deployment."""
        return self.endpoint.mirror if self.endpoint else {}

    @property
    def tags(self) -> Mapping[str, str]:
        """The endpoint's."""
        return self.endpoint.tags if self.endpoint else {}

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether deploying this endpoint made what has these tags."""
        return tags.get(MADE) == self.names.endpoint


@dataclass(frozen=True)
class Registered:
    """Which kinds ("model", "code", "environment") of a desired state are registered, and the
    datastore for the others."""

    kinds: frozenset[str]
    datastore: Datastore


@dataclass(frozen=True)
class Assets:
    """What deploying left in the workspace: (kind, version) registered, and files' names."""

    versions: Sequence[tuple[str, str]] = ()
    files: Sequence[str] = ()


def read_state(clients: Clients, names: Names) -> CurrentState:
    """The endpoint now. Raises NotFound when there is no such workspace."""
    location, endpoints = clients.workspace.location(), clients.endpoints
    endpoint = endpoints.endpoint(names.endpoint)
    deployments = endpoints.deployments(names.endpoint) if endpoint else ()
    return CurrentState(names, location, endpoint, deployments)


def read_registered(clients: Clients, names: Names, desired: DesiredState) -> Registered:
    """What of `desired` is registered already."""
    exists, versions = clients.resources.exists, desired.versions.items()
    kinds = frozenset(kind for kind, version in versions if exists(names.id(kind, version)))
    return Registered(kinds, clients.workspace.datastore())


def read_assets(clients: Clients, names: Names) -> Assets:
    """What deploying the endpoint left. A code has no tags: its files say that it may be there."""
    space, registered = clients.workspace, []
    files = sorted(space.blobs().list(f"{names.folder}/"))
    for kind in ("model", "environment"):
        found = space.versions(kind, names.endpoint)
        ours = sorted(v for v, tags in found.items() if tags.get(MADE) == names.endpoint)
        registered += [(kind, version) for version in ours]
    for folder in sorted({name.split("/")[2] for name in files}):
        kind, _, version = folder.partition("-")
        if kind == "code" and clients.resources.exists(names.id(kind, version)):
            registered.append((kind, version))
    return Assets(registered, files)


def serving_endpoint(clients: Clients, names: Names) -> ManagedEndpoint:
    """The endpoint. Raises NotFound when there is none."""
    endpoint = clients.endpoints.endpoint(names.endpoint)
    if endpoint is None:
        raise NotFound(
            f"endpoint {names.endpoint}: workspace {names.workspace} of resource group"
            f" {names.group} has none of that name; deploy it, or correct deploy.toml"
        )
    return endpoint
