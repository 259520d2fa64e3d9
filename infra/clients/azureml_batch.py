"""The batch endpoints of a workspace, their deployments and jobs, and the clusters that these run
on. The caller's Until waits.

A batch endpoint takes requests for jobs alone, from who has a token of Entra ID; a job writes into
a folder of a datastore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from onnxferry.infra.clients import azureml as sdk
from onnxferry.infra.clients.azureml import Tags, Until, Workspace
from onnxferry.infra.clients.azureml_types import ManagedDeployment
from onnxferry.infra.errors import NoCredentials, NotHealthy, Unavailable

_FAILED = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True)
class BatchEndpoint:
    """A batch endpoint; it has no traffic: each job names its deployment."""

    name: str
    state: str
    tags: Tags


@dataclass(frozen=True)
class Cluster:
    """A compute of the workspace; `kind` is "amlcompute" or another. `instances` are those that it
    may have at most."""

    name: str
    kind: str
    state: str
    size: str = ""
    instances: int = 0
    low_priority: bool = False
    tags: Tags = field(default_factory=dict)


class BatchEndpoints:
    """The batch endpoints of `workspace`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, ml = workspace, workspace.ml
        self._endpoints, self._deployments = ml.batch_endpoints, ml.batch_deployments
        self._computes, self._jobs = ml.compute, ml.jobs

    def endpoint(self, name: str) -> BatchEndpoint | None:
        """The batch endpoint of that name, if there is one."""
        with self._workspace.translated(f"batch endpoint {name} of "):
            try:
                found = self._endpoints.get(name)
            except ResourceNotFoundError:
                return None
        return BatchEndpoint(found.name, _plain(found.provisioning_state), dict(found.tags or {}))

    def create_endpoint(self, name: str, tags: Tags, until: Until) -> bool:
        """Create a batch endpoint. False where that was in conflict with something, which may have
        been a first try. Raises NameTaken."""
        wanted = sdk.sdk_batch_endpoint(name, tags)
        begin, settled = self._endpoints.begin_create_or_update, partial(self.endpoint_state, name)
        return self._workspace.run(f"endpoint {name} of ", until, begin, wanted, settled=settled)

    def endpoint_state(self, name: str) -> str | None:
        """The state while an operation is under way; None when none is, or it is gone."""
        found = self.endpoint(name)
        return found.state if found and found.state not in {"Succeeded", *_FAILED} else None

    def delete_endpoint(self, name: str, until: Until) -> None:
        """Delete the batch endpoint and all its deployments. The records of its jobs stay."""
        self._workspace.run(f"batch endpoint {name} of ", until, self._endpoints.begin_delete, name)

    def deployments(self, endpoint: str) -> list[ManagedDeployment]:
        """The deployments of a batch endpoint; `instance_type` is their compute."""
        with self._workspace.translated(f"deployments of batch endpoint {endpoint} of "):
            return [_deployment(found) for found in self._deployments.list(endpoint)]

    def create_deployment(
        self, endpoint: str, name: str, facts: Mapping[str, Any], until: Until
    ) -> None:
        """Create or change a deployment; `facts`: see `sdk_batch_deployment`."""
        where, wanted = _of(endpoint, name), sdk.sdk_batch_deployment(endpoint, name, facts)
        begin = self._deployments.begin_create_or_update
        settled = partial(self.deployment_state, endpoint, name)
        self._workspace.run(where, until, begin, wanted, settled=settled)

    def deployment_state(self, endpoint: str, name: str) -> str | None:
        """The state while an operation is under way. Raises NotHealthy where it has failed."""
        with self._workspace.translated(_of(endpoint, name)):
            try:
                found = _deployment(self._deployments.get(name, endpoint))
            except ResourceNotFoundError:
                return None
        if found.state in _FAILED:
            where = f"{_of(endpoint, name)}{self._workspace.where}"
            raise NotHealthy(f"{where}: its state is {found.state}")
        return found.state if found.state != "Succeeded" else None

    def delete_deployment(self, endpoint: str, name: str, until: Until) -> None:
        """Delete a deployment."""
        begin = self._deployments.begin_delete
        self._workspace.run(_of(endpoint, name), until, begin, name, endpoint)

    def start(self, endpoint: str, deployment: str, facts: Mapping[str, Any]) -> str:
        """Start a job, and give its name. `facts` are its `name`, the addresses and kinds of
        `input` and `output`, the `compute` and the number of `instances` of it."""
        source, answers = sdk.sdk_places(facts["kind"], facts["input"], facts["output"])
        compute = {"target": f"azureml:{facts['compute']}", "instance_count": facts["instances"]}
        ask = partial(
            self._endpoints.invoke,
            endpoint,
            deployment_name=deployment,
            inputs={"input": source},
            outputs={"score": answers},
            job_name=facts["name"],
            params_override=[{"compute": compute}],
        )
        return str(self._own(f"job {facts['name']} of ", ask).name)

    def jobs(self, endpoint: str) -> dict[str, str]:
        """The states of all jobs that there ever were of a batch endpoint, by name."""
        found = self._own(
            f"jobs of batch endpoint {endpoint} of ", partial(self._endpoints.list_jobs, endpoint)
        )
        return {job.name: str(job.status) for job in found}

    def cancel(self, job: str, until: Until) -> None:
        """Ask for a job to be stopped."""
        self._workspace.run(f"job {job} of ", until, self._jobs.begin_cancel, job)

    def cluster(self, name: str) -> Cluster | None:
        """A compute of the workspace, if it is there."""
        with self._workspace.translated(f"compute {name} of "):
            try:
                found = self._computes.get(name)
            except ResourceNotFoundError:
                return None
        state, low = _plain(found.provisioning_state), getattr(found, "tier", "") or ""
        size, most = getattr(found, "size", "") or "", getattr(found, "max_instances", 0) or 0
        tags, kind = dict(found.tags or {}), str(found.type).lower()
        return Cluster(found.name, kind, state, size, int(most), "low" in low.lower(), tags)

    def create_cluster(self, facts: Mapping[str, Any], until: Until) -> None:
        """Make a cluster of AzureML's own, or change how large it may grow; `facts` are those of
        its YAML schema."""
        what, wanted = f"compute {facts['name']} of ", sdk.sdk_cluster(facts)
        begin = self._computes.begin_create_or_update
        settled = partial(self.cluster_state, facts["name"])
        self._workspace.run(what, until, begin, wanted, settled=settled)

    def cluster_state(self, name: str) -> str | None:
        """The state while an operation is under way. Raises NotHealthy where it has failed."""
        found = self.cluster(name)
        if found and found.state in _FAILED:
            where = f"compute {name} of {self._workspace.where}"
            raise NotHealthy(f"{where}: its state is {found.state}; delete it, and run again")
        return found.state if found and found.state != "Succeeded" else None

    def delete_cluster(self, name: str, until: Until) -> None:
        """Delete a cluster."""
        self._workspace.run(f"compute {name} of ", until, self._computes.begin_delete, name)

    def _own(self, what: str, ask: Callable[[], Any]) -> Any:
        """Ask AzureML's own hosts, whose token the SDK does not renew. Once more where it has
        expired, or there was no answer: a job's name makes that harmless."""
        try:
            with self._workspace.translated(what):
                return ask()
        except (NoCredentials, Unavailable):
            self._workspace.session.credential.renew()
            with self._workspace.translated(what):
                return ask()

    def users(self, cluster: str) -> list[str]:
        """The deployments of all batch endpoints of the workspace that name the cluster."""
        with self._workspace.translated("batch endpoints of "):
            names = [found.name for found in self._endpoints.list()]
        return [
            f"{name}/{one.name}"
            for name in names
            for one in self.deployments(name)
            if one.instance_type == cluster
        ]


def _of(endpoint: str, deployment: str) -> str:
    return f"deployment {deployment} of batch endpoint {endpoint} of "


def _deployment(found: Any) -> ManagedDeployment:
    code = getattr(found.code_configuration, "code", None)
    ids = {"model": found.model, "code": code, "environment": found.environment}
    assets = {kind: str(id_) for kind, id_ in ids.items() if id_}
    compute = str(found.compute or "").rpartition("/")[2]
    tags = dict(found.tags or {})
    return ManagedDeployment(found.name, _plain(found.provisioning_state), assets, compute, 0, tags)


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value) or "")
