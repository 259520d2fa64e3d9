"""What the workspace has for one endpoint now, as frozen data for plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxferry.infra.azureml.names import COMING, PREVIOUS, ROLLING, SHADOW, VERSION, Names
from onnxferry.infra.azureml.scaling import state as autoscaling
from onnxferry.infra.azureml.scaling.state import FoundScaling
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import ArmResources
from onnxferry.infra.clients.azure_monitor import Monitor
from onnxferry.infra.clients.azureml import Workspace
from onnxferry.infra.clients.azureml_batch import BatchEndpoints
from onnxferry.infra.clients.azureml_endpoints import OnlineEndpoints
from onnxferry.infra.clients.azureml_types import ManagedDeployment, ManagedEndpoint
from onnxferry.infra.errors import NotFound

# of codes, of deleting models and environments and of a deployment's tags: no SDK offers these
API_VERSION = "2024-10-01"


@dataclass(frozen=True)
class Clients:
    """The clients that an endpoint needs."""

    session: AzureSession
    workspace: Workspace
    endpoints: OnlineEndpoints
    resources: ArmResources
    monitor: Monitor
    batch: BatchEndpoints

    @classmethod
    def of(cls, session: AzureSession, names: Names) -> Clients:
        """The clients for the workspace of `names`. Sends nothing."""
        space = Workspace(session, names.group, names.workspace)
        arm, monitor = ArmResources(session, API_VERSION), Monitor(session)
        batch = BatchEndpoints(space)
        return cls(session, space, OnlineEndpoints(space), arm, monitor, batch)


@dataclass(frozen=True)
class CurrentState:
    """The endpoint with its deployments, and whether it and each of them are ours; `scaling` are
    the autoscale settings of these deployments, and of such as are gone. `batch` are the
    deployments of the batch endpoint beside it, which need models and code, too."""

    names: Names
    location: str
    endpoint: ManagedEndpoint | None
    deployments: Sequence[ManagedDeployment] = ()
    scaling: FoundScaling = field(default_factory=FoundScaling)
    batch: Sequence[ManagedDeployment] = ()

    @property
    def is_ours(self) -> bool:
        """Whether deploying made the endpoint."""
        return self.endpoint is not None and self.names.is_ours(self.endpoint.tags)

    @property
    def ours(self) -> dict[str, ManagedDeployment]:
        """The deployments that onnxferry made, by name."""
        owns = self.names.owns_deployment
        return {d.name: d for d in self.deployments if owns(d.name, d.tags)}

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
        """The deployment that takes most of the traffic, but for one that is only `coming` beside
        another; "" if none does."""
        others = [name for name in self.traffic if name != self.coming] or self.traffic
        return max(others, key=lambda name: self.traffic[name], default="")

    @property
    def previous(self) -> str:
        """The deployment that served before, if it is still there."""
        name = self.tags.get(PREVIOUS, "")
        return name if name in self.ours else ""

    @property
    def coming(self) -> str:
        """The deployment that an unfinished roll-out has given traffic to, and may yet be taken
        away from."""
        name = self.tags.get(COMING, "")
        others = [*self.traffic, self.previous]
        is_there = name in self.traffic and name in self.ours
        return name if is_there and set(others) - {name, ""} else ""

    @property
    def before(self) -> str:
        """The deployment that an unfinished roll-out is taken back to; "" where there is none."""
        if not self.coming:
            return ""
        return self.serving if self.serving != self.coming else self.previous

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
    def shadow(self) -> str:
        """The deployment that deploying has given a copy of the traffic; "" if none has it."""
        name = self.tags.get(SHADOW, "")
        return name if name in self.mirrored and name in self.ours else ""

    @property
    def tags(self) -> Mapping[str, str]:
        """The endpoint's."""
        return self.endpoint.tags if self.endpoint else {}

    @property
    def has_served(self) -> bool:
        """Whether the endpoint ever had a version of ours live, or has somebody else's."""
        return VERSION in self.tags or bool(self.in_use) or bool(self.others)

    @property
    def in_use(self) -> set[str]:
        """The deployments that serve, served before, or get a copy of the traffic; not one that is
        only `coming`."""
        return {*(set(self.traffic) - {self.coming}), self.previous, *self.mirrored} - {""}

    @property
    def unproved(self) -> list[str]:
        """Our deployments that have not served: left by a run that was cut off or failed."""
        return [name for name in self.ours if name not in self.in_use]

    def version(self, deployment: str) -> str:
        """The version of one of our deployments; "" of another."""
        found = self.ours.get(deployment)
        return found.tags.get(VERSION, "") if found else ""


def read_state(clients: Clients, names: Names, *, scaling: bool = False) -> CurrentState:
    """The endpoint now, with the autoscale settings where `scaling` is asked for. Raises NotFound
    when there is no such workspace."""
    location, endpoints = clients.workspace.location(), clients.endpoints
    endpoint = endpoints.endpoint(names.endpoint)
    deployments = endpoints.deployments(names.endpoint) if endpoint else ()
    settings = autoscaling.read(clients.monitor, names) if scaling else FoundScaling()
    batch = batch_deployments(clients, names)
    return CurrentState(names, location, endpoint, deployments, settings, batch)


def batch_deployments(clients: Clients, names: Names) -> Sequence[ManagedDeployment]:
    """Those of the batch endpoint beside it; none where there is none."""
    found = clients.batch.endpoint(names.batch)
    return clients.batch.deployments(names.batch) if found else ()


def serving_endpoint(clients: Clients, names: Names) -> ManagedEndpoint:
    """The endpoint. Raises NotFound when there is none."""
    endpoint = clients.endpoints.endpoint(names.endpoint)
    if endpoint is None:
        raise NotFound(
            f"endpoint {names.endpoint}: workspace {names.workspace} of resource group"
            f" {names.group} has none of that name; deploy it, or correct deploy.toml"
        )
    return endpoint
