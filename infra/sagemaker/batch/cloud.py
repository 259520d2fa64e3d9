"""Batch Transform, as the command line knows a cloud's batch jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from onnxferry.infra.batch_check import Sample
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.jobs import BatchRequest, DataFile, Dataset, JobStatus
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker import execution_role, state, storage
from onnxferry.infra.sagemaker.batch import jobs, places, plan, quota, rights
from onnxferry.infra.sagemaker.batch.places import Place, Places
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.sagemaker.desired import desired
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress

_TYPE = "ml.m5.large"


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> TransformJobs:
    """The batch jobs of the endpoint `name`, which need not be there; sends nothing yet. Raises
    NoCredentials or UsageError."""
    settings = config.sagemaker or SageMaker()
    return TransformJobs(AwsClients(settings.profile, settings.region), settings, name, clock)


@dataclass(frozen=True)
class TransformJobs(SageMakerCloud):
    """See infra.jobs.BatchJobs."""

    def dataset(self, asked: BatchRequest) -> Dataset:
        """See BatchJobs."""
        return places.dataset(self.clients, self._places(asked))

    def start_of(self, dataset: Dataset, file: DataFile, size: int) -> bytes:
        """See BatchJobs."""
        bucket, key = storage.split(dataset.place)
        return places.start_of(self.clients, Place(bucket, key), file, size)

    def plan_batch(self, bundle: Bundle, asked: BatchRequest, sample: Sample) -> Plan:
        """See BatchJobs."""
        key = "" if self.settings.role else storage.encryption_key(self.clients, self.names)
        wanted, there = desired(self.names, bundle, key), self._read()
        found = state.read_prerequisites(self.clients, self.names, wanted)
        batch = self._batch(replace(asked, instance_type=self.type_of(asked)), sample)
        planned = plan.planned(there, wanted, found, batch)
        if planned.changes:
            lacking = quota.shortage(self.clients, self.names, batch.asked)
            planned = replace(planned, summary=replace(planned.summary, shortage=lacking))
        return self._noted(planned)

    def plan_cancel(self, asked: BatchRequest) -> Plan:
        """See BatchJobs."""
        busy = jobs.running(self.clients, self.names)
        return plan.cancelled(self.names, busy, self._places(asked))

    def job(self, name: str, asked: BatchRequest) -> JobStatus:
        """See BatchJobs."""
        found = jobs.described(self.clients, name)
        since = found["CreationTime"].replace(microsecond=0) if asked.overwrite else None
        status = self._counted(name, found["TransformJobStatus"], asked, since)
        if status.state != "Failed":
            return status
        return replace(status, reason=jobs.failure(self.clients, name, found))

    def collected(self, status: JobStatus, asked: BatchRequest, progress: Progress) -> JobStatus:
        """See BatchJobs: SageMaker itself writes the answer files."""
        return status

    def fetch(self, asked: BatchRequest, file: DataFile, path: Path) -> None:
        """See BatchJobs."""
        places.fetch(self.clients, self._places(asked), file, path)

    def finish(self, asked: BatchRequest) -> None:
        """See BatchJobs: the role's rights."""
        at, names = self._places(asked), self.names
        if self.settings.role or not execution_role.has_role(self.clients, names):
            return
        if any(job.place == at.digest for job in jobs.running(self.clients, names)):
            return
        keys = rights.encryption_keys(self.clients, names, at)
        step = rights.taken(names, rights.batch_policy(names, at, keys)["PolicyName"])
        self.execute(step, lambda text: None)

    def type_of(self, asked: BatchRequest) -> str:
        """The instances' type: as asked, or that which serves."""
        return asked.instance_type or getattr(self.settings.serving, "instance_type", _TYPE)

    def _batch(self, asked: BatchRequest, sample: Sample) -> plan.Batch:
        at = self._places(asked)
        dataset, record = places.dataset(self.clients, at), places.record(self.clients, at)
        keys = rights.encryption_keys(self.clients, self.names, at)
        there, busy = (jobs.found(self.clients, self.names), jobs.running(self.clients, self.names))
        return plan.Batch(asked, at, dataset, sample, record, keys, there, busy)

    def _counted(
        self, name: str, status: str, asked: BatchRequest, since: datetime | None
    ) -> JobStatus:
        found = places.dataset(self.clients, self._places(asked), since)
        counts: Any = {"done": len(found.done), "total": len(found.files)}
        running, succeeded = status in jobs.RUNNING, status == "Completed"
        return JobStatus(name, status, running, succeeded, **counts)

    def _places(self, asked: BatchRequest) -> Places:
        return places.places_of(self.clients, asked)
