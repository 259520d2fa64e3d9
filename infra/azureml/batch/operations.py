"""How a batch is begun and stopped, and what it made is deleted. Each public method is one
Step.operation, and may be done twice."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from onnxferry.infra.azureml.batch import jobs
from onnxferry.infra.azureml.batch.desired import CLUSTER
from onnxferry.infra.azureml.batch.state import is_our_cluster
from onnxferry.infra.azureml.names import MADE, Names
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azureml import Until
from onnxferry.infra.errors import NameTaken, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.tidying import optional
from onnxferry.system.console import Progress


class BatchOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names
    wait: Wait
    progress: Progress

    def create_cluster(self, step: Step) -> None:
        """Make our cluster, or let it grow."""
        found = self.clients.batch.cluster(step.name)
        if found and not is_our_cluster(found):
            raise Refused(f"compute {step.name}: onnxferry did not make it, so it stays as it is")
        if found and found.instances > step.parameters["max_instances"]:
            return  # another batch let it grow meanwhile
        self.clients.batch.create_cluster(step.parameters, self._waits(step))

    def wait_for_cluster(self, step: Step) -> None:
        """Wait for what an earlier run began."""
        self._waits(step)(partial(self.clients.batch.cluster_state, step.name))

    def delete_cluster(self, step: Step) -> None:
        """Delete our cluster, unless a deployment for batch jobs is left that names it."""
        with optional(step):
            found = self.clients.batch.cluster(CLUSTER)
            if found is None or not is_our_cluster(found):
                return
            if users := self.clients.batch.users(CLUSTER):
                self.progress(f"kept: {users[0]} needs it")
                return
            self.clients.batch.delete_cluster(CLUSTER, self._waits(step))

    def create_batch_endpoint(self, step: Step) -> None:
        """Create the batch endpoint. Raises NameTaken where somebody else has the name."""
        batch, until = self.clients.batch, self._waits(step)
        if batch.create_endpoint(step.name, step.parameters["tags"], until):
            return
        found = batch.endpoint(step.name)
        if found is None or not self.names.is_ours(found.tags):
            raise NameTaken(
                f"{self._where}: the name is taken, and names of endpoints are unique in a region;"
                " choose another: --name, or name in [model] of deploy.toml"
            )

    def delete_batch_endpoint(self, step: Step) -> None:
        """Delete the batch endpoint with its deployments. Raises Refused where it is not ours, or
        has a deployment that was not planned to go."""
        batch, where = self.clients.batch, self._where
        found = batch.endpoint(step.name)
        if found is None:
            return
        if not self.names.is_ours(found.tags):
            raise Refused(f"{where}: onnxferry did not make it (no mark {MADE}={self.names.made})")
        there = {one.name for one in batch.deployments(step.name)}
        if others := there - set(step.parameters["deployments"]):
            names = ", ".join(sorted(others))
            raise Refused(f"{where}: it has the deployment {names} since; run the command again")
        batch.delete_endpoint(step.name, self._waits(step))

    def create_batch_deployment(self, step: Step) -> None:
        """Create a deployment."""
        create = self.clients.batch.create_deployment
        create(self.names.batch, step.name, step.parameters, self._waits(step))

    def delete_batch_deployment(self, step: Step) -> None:
        """Delete a deployment that is ours, and that no job runs on."""
        batch, name = self.clients.batch, self.names.batch
        with optional(step):
            there = {d.name: d for d in batch.deployments(name)} if batch.endpoint(name) else {}
            found = there.get(step.name)
            if found is None or not self.names.owns_deployment(found.name, found.tags):
                return
            running = (job for job in jobs.found(self.clients, self.names) if job.running)
            if busy := [job.name for job in running if step.name.startswith(f"v{job.version}-")]:
                self.progress(f"kept: {busy[0]} runs on it")
                return
            batch.delete_deployment(name, step.name, self._waits(step))

    def wait_for_batch(self, step: Step) -> None:
        """Wait until an endpoint or a deployment is made, as an earlier run began it."""
        batch, name = self.clients.batch, self.names.batch
        if step.resource == "batch endpoint":
            self._waits(step)(partial(batch.endpoint_state, name))
        else:
            self._waits(step)(partial(batch.deployment_state, name, step.name))

    def put_text(self, step: Step) -> None:
        """Put a record."""
        _, blobs = self.clients.workspace.opened(step.parameters["store"])
        blobs.put(step.parameters["name"], step.parameters["text"].encode(), self._blob_marks)

    def copy_files(self, step: Step) -> None:
        """Copy files by way of this machine, which may read the one place and write the other."""
        facts, opened = step.parameters, self.clients.workspace.opened
        (_, source), (_, out) = opened(facts["store"]), opened(facts["to"])
        with tempfile.TemporaryDirectory() as folder:
            for i, name in enumerate(facts["names"]):
                self.progress(f"{i:,} of {len(facts['names']):,}")
                file, where = Path(folder) / "copy", f"{facts['to_folder']}{name}"
                source.download(f"{facts['folder']}{name}", file, lambda done, size: None)
                out.upload(where, file, self._blob_marks, lambda done, size: None, overwrite=True)

    def start_job(self, step: Step) -> None:
        """Start a job. Its name tells all that it does, so one of that name is it."""
        if jobs.described(self.clients, self.names, step.name):
            return
        batch, facts = self.clients.batch, dict(step.parameters)
        facts["compute"] = f"{self.names.workspace_id}/computes/{facts['compute']}"
        try:
            begun = batch.start(self.names.batch, facts.pop("deployment"), facts)
        except Refused:  # a first try may have arrived, and its answer not
            if jobs.described(self.clients, self.names, step.name) is None:
                raise
            return
        if begun != step.name:
            batch.cancel(begun, self._waits(step))
            raise Refused(
                f"{step.name}: AzureML named the job {begun}, by which it could not be found"
                " again; it is cancelled"
            )

    def stop_job(self, step: Step) -> None:
        """Stop a job that is at work, and wait until it is."""
        found = jobs.described(self.clients, self.names, step.name)
        if not found or found.get("status") in jobs.ENDED:
            return self.progress("it has ended")
        if found.get("status") != "CancelRequested":
            try:
                self.clients.batch.cancel(step.name, self._waits(step))
            except Refused:  # it has ended meanwhile
                if self._at_work(step.name):
                    raise
        return self._waits(step)(lambda: self._at_work(step.name))

    def _at_work(self, name: str) -> str | None:
        found = jobs.described(self.clients, self.names, name) or {}
        status = str(found.get("status") or "")
        return status if status and status not in jobs.ENDED else None

    @property
    def _where(self) -> str:
        return f"batch endpoint {self.names.batch} of workspace {self.names.workspace}"

    @property
    def _blob_marks(self) -> dict[str, str]:
        return {MADE: self.names.made}

    def _waits(self, step: Step) -> Until:
        return partial(self.wait, f"{step.resource} {step.name}")
