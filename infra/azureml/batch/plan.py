"""The steps of a batch: what is registered, the cluster, the batch endpoint with a deployment of
this version, and a job over what is missing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnxferry.infra.azureml.assets import Assets, needed_by
from onnxferry.infra.azureml.batch import jobs
from onnxferry.infra.azureml.batch import places as where
from onnxferry.infra.azureml.batch.desired import BatchDesired
from onnxferry.infra.azureml.batch.jobs import KIND, BatchJob, next_name, stopped
from onnxferry.infra.azureml.batch.places import Places
from onnxferry.infra.azureml.batch.resources import cluster, deployment, endpoint
from onnxferry.infra.azureml.batch.state import BatchState
from onnxferry.infra.azureml.plan import prune
from onnxferry.infra.azureml.registration import check_assets, register
from onnxferry.infra.batch_files import RECORD, RECORDS, check_answers, other_version
from onnxferry.infra.errors import NotFound
from onnxferry.infra.jobs import BatchRequest, Dataset
from onnxferry.infra.plan import Action, Plan, Step, Summary

TARGET = "azureml"


@dataclass(frozen=True)
class Batch:
    """What is planned: `dataset` at `places`, as `asked`; `record` is what the output says of its
    answers; `left` are the jobs that have ended, and whose rows are no answer files yet."""

    asked: BatchRequest
    places: Places
    dataset: Dataset
    record: Mapping[str, Any] | None
    left: Collection[str]

    @property
    def work(self) -> Dataset:
        """What is to be scored."""
        return self.dataset.anew() if self.asked.overwrite else self.dataset


def planned(state: BatchState, desired: BatchDesired, assets: Assets, batch: Batch) -> Plan:
    """Steps that end with a job at work. Raises UsageError where the output holds other answers, or
    another version is at work on it, and Refused for what is not ours."""
    names, version = state.names, desired.version
    place = Summary(state.place, region=state.online.location)
    if job := at_work(state, batch, version):
        step = Step(Action.REUSE, KIND, job.name)
        return Plan(TARGET, "score with", names.endpoint, (step,), place)
    wanted = where.record_of(names, batch.places, version)
    out, done = batch.places.output.url, len(batch.dataset.done)
    check_answers(batch.asked, out, done, batch.record, wanted)
    if not batch.work.missing:
        said = f"All {len(batch.dataset.files):,} file(s) are answered in {out}."
        return Plan(TARGET, "score with", names.endpoint, (), replace(place, notes=(said,)))
    check_assets(names, desired.registered, assets)
    steps = (
        *register(state.online, desired.registered, assets),
        *cluster(state, desired, batch.asked),
        *endpoint(state, desired),
        *deployment(state, desired),
        *_outdated(state, desired, assets),
        *_job(state, desired, batch),
    )
    kind, count = batch.asked.instance_type, batch.asked.instances
    summary = replace(place, peak=f"{count} x {kind}", instances=kind, count=count)
    summary = replace(summary, notes=tuple(_notes(batch)))
    return Plan(TARGET, "score with", names.endpoint, steps, summary)


def cancelled(state: BatchState, places: Places) -> Plan:
    """Steps that stop what is at work there. Raises NotFound where nothing is."""
    steps = tuple(stopped(job.name) for job in state.busy if job.place == places.digest)
    if not steps:
        raise NotFound(
            f"workspace {state.names.workspace}, {places.output.url}: no job of"
            f" {state.names.endpoint} is at work on this input and output; nothing to cancel"
        )
    return Plan(TARGET, "cancel a job of", state.names.endpoint, steps, Summary(state.place))


def at_work(state: BatchState, batch: Batch, version: str) -> BatchJob | None:
    """The job of `version` that is at work, or whose rows are no answer files yet. Raises
    UsageError where one of another version is at work."""
    here = [job for job in state.jobs if job.place == batch.places.digest]
    if other := next((job for job in here if job.running and job.version != version), None):
        raise other_version(other.name)
    mine = (job for job in here if job.version == version)
    return next((job for job in mine if job.running or job.name in batch.left), None)


def _outdated(state: BatchState, desired: BatchDesired, assets: Assets) -> Iterator[Step]:
    """Our other deployments that no job runs on, and what then nobody needs."""
    at_work = tuple(f"v{job.version}-" for job in state.busy)
    gone = [
        name
        for name in state.ours
        if name != desired.deployment and not name.startswith(at_work or ("?",))
    ]
    for name in gone:
        yield Step(
            Action.DELETE, "batch deployment", name, "delete_batch_deployment", {"optional": True}
        )
    left = [one for one in state.online.batch if one.name not in gone]
    needed = needed_by(state.names, (*state.online.deployments, *left))
    yield from prune(state.online, assets.unused({*needed, *desired.registered.versions.items()}))


def _job(state: BatchState, desired: BatchDesired, batch: Batch) -> Iterator[Step]:
    """The record of whose answers there will be, what the job reads, and the job."""
    names, places = state.names, batch.places
    name = next_name(names, desired.version, places.digest, state.jobs)
    wanted = where.record_of(names, places, desired.version)
    if batch.record != wanted:
        text = json.dumps(wanted, indent=2) + "\n"
        facts: dict[str, Any] = {"store": places.output.store.name, "text": text}
        facts["name"] = f"{places.output.folder}{RECORD}"
        url = f"{places.output.url}{RECORD}"
        yield Step(Action.CREATE, "record of the batch", url, "put_text", facts)
    kept = f"{RECORDS}{name}/"
    source = {"kind": "uri_folder", "input": places.input.url}
    missing = batch.work.missing
    # of a single file, rows tell the last part of its path alone
    if len(missing) == 1 and "/" not in missing[0].name:
        source = {"kind": "uri_file", "input": f"{places.input.url}{missing[0].name}"}
    elif len(missing) < len(batch.work.files):
        source["input"] = f"{places.output.url}{kept}input/"
        yield _copies(batch, f"{places.output.folder}{kept}input/", source["input"])
    facts = {"name": name, "deployment": desired.deployment, **source}
    facts |= {"output": f"{places.output.url}{kept}", "instances": batch.asked.instances}
    facts["compute"] = desired.compute
    back = jobs.stopped(name)
    yield Step(Action.CREATE, KIND, name, "start_job", facts, removal=back, proves=True)


def _copies(batch: Batch, folder: str, url: str) -> Step:
    """A job reads a folder or a file, and no list of files."""
    source, out = batch.places.input, batch.places.output
    facts: dict[str, Any] = {"store": source.store.name, "folder": source.folder}
    names = [file.name for file in batch.work.missing]
    facts |= {"to": out.store.name, "to_folder": folder, "names": names}
    return Step(Action.CREATE, "copies of the missing files", url, "copy_files", facts)


def _notes(batch: Batch) -> Iterator[str]:
    dataset, missing = batch.dataset, batch.work.missing
    size = sum(file.size for file in missing) / 1e6
    before = len(dataset.files) - len(missing)
    done = f", {before:,} are answered already" if before else ""
    yield f"{len(missing):,} file(s) of {dataset.format.name}, {size:,.1f} MB{done}."
    over = [(dataset.others, "of no known format"), (dataset.empty, "without a byte")]
    if passed := [f"{count:,} {why}" for count, why in over if count]:
        yield f"Passed over: {', '.join(passed)}."
