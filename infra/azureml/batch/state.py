"""What the workspace has for batch jobs now, as frozen data for plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxferry.infra.azureml.batch import jobs
from onnxferry.infra.azureml.batch.desired import CLUSTER
from onnxferry.infra.azureml.batch.jobs import BatchJob
from onnxferry.infra.azureml.names import MADE, Names
from onnxferry.infra.azureml.state import Clients, CurrentState, read_state
from onnxferry.infra.clients.azureml_batch import BatchEndpoint, Cluster
from onnxferry.infra.clients.azureml_types import ManagedDeployment


@dataclass(frozen=True)
class BatchState:
    """The batch endpoint and its jobs, the cluster that is configured or ours, and the online
    endpoint beside it, whose `batch` are the deployments for jobs."""

    online: CurrentState
    endpoint: BatchEndpoint | None = None
    jobs: Sequence[BatchJob] = ()
    cluster: Cluster | None = None

    @property
    def names(self) -> Names:
        """The endpoint's."""
        return self.online.names

    @property
    def place(self) -> str:
        """For people."""
        return f"workspace {self.names.workspace}, {self.online.location}"

    @property
    def is_ours(self) -> bool:
        """Whether a batch made the endpoint."""
        return self.endpoint is not None and self.names.is_ours(self.endpoint.tags)

    @property
    def ours(self) -> dict[str, ManagedDeployment]:
        """The deployments that batches made, by name."""
        owns = self.names.owns_deployment
        return {d.name: d for d in self.online.batch if owns(d.name, d.tags)}

    @property
    def busy(self) -> list[BatchJob]:
        """The jobs that are at work: those of an endpoint that is ours."""
        return [job for job in self.jobs if job.running and self.is_ours]


def read_batch(
    clients: Clients, names: Names, compute: str = CLUSTER, online: CurrentState | None = None
) -> BatchState:
    """The batch endpoint now, with the cluster `compute`. Raises NotFound when there is no such
    workspace."""
    online = online or read_state(clients, names)
    endpoint = clients.batch.endpoint(names.batch)
    found = jobs.found(clients, names) if endpoint else []
    return BatchState(online, endpoint, found, clients.batch.cluster(compute))


def is_our_cluster(cluster: Cluster) -> bool:
    """Whether a batch made the cluster, which all endpoints of the workspace share."""
    return cluster.name == CLUSTER and cluster.tags.get(MADE) == CLUSTER
