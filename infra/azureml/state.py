"""What is in the workspace of one endpoint, read once: a snapshot that plans are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.azureml.names import MADE, PREVIOUS, ROLLING, Names
from onnxferry.infra.clients import azureml
from onnxferry.infra.clients.azure import Session
from onnxferry.infra.clients.azureml import Workspace
from onnxferry.infra.clients.azureml_facts import Deployment, Endpoint
from onnxferry.infra.clients.groups import Resources
from onnxferry.infra.errors import NotFound

# of codes, and of deleting models and environments, which the SDK does not offer
API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Clients:
    """The clients to the services that an endpoint needs."""

    session: Session
    workspace: Workspace
    resources: Resources

    @classmethod
    def open(cls, session: Session, names: Names) -> Clients:
        workspace = azureml.Workspace(session, names.group, names.workspace)
        return cls(session, workspace, Resources(session, API_VERSION))


@dataclass(frozen=True)
class CurrentState:
    """The endpoint with its deployments, and whether it and each of them are ours."""

    names: Names
    location: str
    endpoint: Endpoint | None
    deployments: Sequence[Deployment] = ()

    @property
    def ours(self) -> dict[str, Deployment]:
        """The deployments that onnxferry made."""
        return {d.name: d for d in self.deployments if self.is_ours(d.tags)}

    @property
    def others(self) -> dict[str, Deployment]:
        return {d.name: d for d in self.deployments if not self.is_ours(d.tags)}

    @property
    def traffic(self) -> Mapping[str, int]:
        return self.endpoint.traffic if self.endpoint else {}

    @property
    def serving(self) -> str:
        """The deployment that takes most of the traffic; "" if none does."""
        return max(self.traffic, key=lambda name: self.traffic[name], default="")

    @property
    def previous(self) -> str:
        """The deployment that served before, if it is still there."""
        name = self.endpoint.tags.get(PREVIOUS, "") if self.endpoint else ""
        return name if name in self.ours else ""

    @property
    def rolling(self) -> str:
        """The deployment that an interrupted roll-back gave the traffic to, if it has it still."""
        name = self.endpoint.tags.get(ROLLING, "") if self.endpoint else ""
        return name if name == self.serving and name in self.ours else ""

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        return tags.get(MADE) == self.names.endpoint


@dataclass(frozen=True)
class Assets:
    """What is registered for the endpoint, by version, and the names of its files."""

    model: Sequence[str] = ()
    environment: Sequence[str] = ()
    code: Sequence[str] = ()
    files: Sequence[str] = field(default_factory=tuple)

    def rows(self) -> list[tuple[str, str]]:
        kinds: dict[str, Any] = {
            "model": self.model,
            "environment": self.environment,
            "code": self.code,
        }
        return [(kind, version) for kind, versions in kinds.items() for version in versions]


def read(clients: Clients, names: Names) -> CurrentState:
    """The endpoint now. Raises NotFound when there is no such workspace."""
    location = clients.workspace.location()
    endpoint = clients.workspace.endpoint(names.endpoint)
    return CurrentState(
        names, location, endpoint, clients.workspace.deployments(names.endpoint) if endpoint else ()
    )


def assets(clients: Clients, names: Names) -> Assets:
    """What deploying the endpoint left in the workspace. A code has no tags: its files say that it
    may be there."""
    files = sorted(clients.workspace.blobs().hashes(names.folder))
    codes = sorted(
        {
            name.split("/")[2].removeprefix("code-")
            for name in files
            if name.split("/")[2].startswith("code-")
        }
    )
    return Assets(
        _ours(clients.workspace.models(names.endpoint), names),
        _ours(clients.workspace.environments(names.endpoint), names),
        [
            version
            for version in codes
            if clients.resources.get(names.id("code", version)) is not None
        ],
        files,
    )


def serving(clients: Clients, names: Names) -> Endpoint:
    """The endpoint. Raises NotFound when there is none."""
    endpoint = clients.workspace.endpoint(names.endpoint)
    if endpoint is None:
        raise NotFound(
            f"endpoint {names.endpoint}: workspace {names.workspace} of resource group"
            f" {names.group} has none of that name; check name and workspace in deploy.toml, or"
            " deploy it first"
        )
    return endpoint


def _ours(found: Mapping[str, Mapping[str, str]], names: Names) -> list[str]:
    return sorted(version for version, tags in found.items() if tags.get(MADE) == names.endpoint)
