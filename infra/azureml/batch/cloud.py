"""Batch endpoints, as the command line knows a cloud's batch jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxferry.infra.azureml.assets import read_assets
from onnxferry.infra.azureml.batch import answers, jobs, places, plan, quota
from onnxferry.infra.azureml.batch.desired import CLUSTER, batch_desired
from onnxferry.infra.azureml.batch.places import ROWS, Places
from onnxferry.infra.azureml.batch.state import BatchState, read_batch
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.azureml.cloud import connect as connect_endpoint
from onnxferry.infra.azureml.names import MADE
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.batch_files import ANSWER, RECORDS
from onnxferry.infra.clients.azure_quota import AzureQuota
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import NotFound
from onnxferry.infra.jobs import BatchRequest, DataFile, Dataset, JobStatus
from onnxferry.infra.plan import Plan
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> AzureMLJobs:
    """The batch jobs of the endpoint `name`, which need not be there. Signs in at the first
    call."""
    endpoint = connect_endpoint(config, name, clock)
    return AzureMLJobs(endpoint.clients, endpoint.names, endpoint.settings, clock)


@dataclass(frozen=True)
class AzureMLJobs(AzureMLCloud):
    """See infra.jobs.BatchJobs."""

    def dataset(self, asked: BatchRequest) -> Dataset:
        """See BatchJobs."""
        return places.dataset(self._places(asked))

    def start_of(self, dataset: Dataset, file: DataFile, size: int) -> bytes:
        """See BatchJobs."""
        store, _, folder = dataset.place.removeprefix("azureml://datastores/").partition("/paths/")
        _, blobs = self.clients.workspace.opened(store)
        return blobs.start(f"{folder}{file.name}", size)

    def plan_batch(self, bundle: Bundle, asked: BatchRequest, sample: Sample) -> Plan:
        """See BatchJobs."""
        desired = batch_desired(bundle, self.settings, self.wall().isoformat(timespec="seconds"))
        state = self._state()
        batch = self._batch(self._sized(asked, state))
        assets = read_assets(self.clients, self.names, desired.registered.versions.items())
        planned = plan.planned(state, desired, assets, batch)
        return self._checked(planned, state, batch.asked) if planned.changes else planned

    def plan_cancel(self, asked: BatchRequest) -> Plan:
        """See BatchJobs."""
        return plan.cancelled(self._state(), self._places(asked))

    def job(self, name: str, asked: BatchRequest) -> JobStatus:
        """See BatchJobs."""
        found = jobs.described(self.clients, self.names, name)
        if found is None:
            raise NotFound(f"job {name}: workspace {self.names.workspace} has none of that name")
        state = str(found.get("status") or "")
        data = places.dataset(self._places(asked), name if asked.overwrite else "")
        running, succeeded = state not in jobs.ENDED, state == "Completed"
        counts: Any = {"done": len(data.done), "total": len(data.files)}
        reason = jobs.why(found, name) if state == "Failed" else ""
        return JobStatus(name, state, running, succeeded, reason=reason, **counts)

    def collected(self, status: JobStatus, asked: BatchRequest, progress: Progress) -> JobStatus:
        """See BatchJobs."""
        at = self._places(asked)
        there = at.output.blobs.sizes(f"{at.output.folder}{RECORDS}{status.name}/{ROWS}")
        if status.running or not there:
            return status
        marks = {MADE: self.names.made, places.JOB: status.name}
        made = answers.collect(at, places.dataset(at), status.name, marks, progress)
        after, why = self.job(status.name, asked), "\n".join(made.notes)
        return replace(after, reason=why or after.reason)

    def fetch(self, asked: BatchRequest, file: DataFile, path: Path) -> None:
        """See BatchJobs."""
        out = self._places(asked).output
        where = f"{out.folder}{file.name}{ANSWER}"
        out.blobs.download(where, path, lambda done, size: None)

    def finish(self, asked: BatchRequest) -> None:
        """See BatchJobs: the copies of files that jobs which have ended have read."""
        at, names = self._places(asked), self.names
        kept = places.kept(at) if self.clients.batch.endpoint(names.batch) else {}
        ended = {job.name for job in jobs.found(self.clients, names) if not job.running}
        for name in (blob for job in ended & set(kept) for blob in kept[job]):
            if not name.endswith(f"/{ROWS}"):
                at.output.blobs.delete(name)

    def _state(self) -> BatchState:
        return read_batch(self.clients, self.names, self.settings.batch.compute or CLUSTER)

    def _sized(self, asked: BatchRequest, state: BatchState) -> BatchRequest:
        """With the instances' size and priority: as asked, else the cluster's that is there, else
        as our cluster is made."""
        settings, there = self.settings.batch, state.cluster
        kind = asked.instance_type or (there.size if there else "") or settings.instance_type
        low = there.low_priority if there else settings.low_priority
        return replace(asked, instance_type=kind, low_priority=low)

    def _batch(self, asked: BatchRequest) -> plan.Batch:
        at = self._places(asked)
        left = {
            job
            for job, blobs in places.kept(at).items()
            if any(name.endswith(f"/{job}/{ROWS}") for name in blobs)
        }
        return plan.Batch(asked, at, places.dataset(at), places.record(at), left)

    def _checked(self, planned: Plan, state: BatchState, asked: BatchRequest) -> Plan:
        """With what the quota lacks."""
        azure = AzureQuota(self.clients.session, state.online.location)
        need = (asked.instance_type, asked.instances)
        lacking, notes = quota.shortage(azure, *need, low_priority=asked.low_priority)
        summary = planned.summary
        return replace(
            planned, summary=replace(summary, shortage=lacking, notes=(*summary.notes, *notes))
        )

    def _places(self, asked: BatchRequest) -> Places:
        return places.places_of(self.clients, self.names, asked)
