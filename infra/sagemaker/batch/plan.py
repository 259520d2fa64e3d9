"""The steps of a batch: what an endpoint of this version would stand on, and a job over what is
missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from onnxferry.infra.batch_check import Sample
from onnxferry.infra.batch_files import RECORD, check_answers, other_version
from onnxferry.infra.errors import NotFound
from onnxferry.infra.jobs import BatchRequest, Dataset
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.sagemaker.batch import places as where
from onnxferry.infra.sagemaker.batch import requests, rights
from onnxferry.infra.sagemaker.batch.jobs import JOB, TransformJob, next_name, stopped
from onnxferry.infra.sagemaker.batch.places import Places
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.fleet import Fleet
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.plan import TARGET, hosted, made, role
from onnxferry.infra.sagemaker.state import CurrentState, Prerequisites
from onnxferry.system.errors import UsageError


@dataclass(frozen=True)
class Batch:
    """What is planned: `dataset` at `places`, as `asked`, by the first rows' `sample`; `record` is
    what the output says of its answers; `keys` are KMS keys of input and output; `jobs` are all of
    ours that there ever were, and `busy` those at work."""

    asked: BatchRequest
    places: Places
    dataset: Dataset
    sample: Sample
    record: Mapping[str, Any] | None
    keys: tuple[str, str]
    jobs: list[TransformJob]
    busy: list[TransformJob]


def planned(state: CurrentState, desired: DesiredState, found: Prerequisites, batch: Batch) -> Plan:
    """Steps that end with a job at work. Raises UsageError where the output holds other answers, or
    another version is at work on it, and as requests.batching."""
    names, version = state.names, desired.version
    if job := at_work(batch, version):
        step = Step(Action.REUSE, JOB, job.name)
        return Plan(TARGET, "score with", names.endpoint, (step,), Summary(names.place))
    wanted = where.record_of(names, batch.places, version)
    out, done = batch.places.output.url, len(batch.dataset.done)
    check_answers(batch.asked, out, done, batch.record, wanted)
    if not (batch.asked.overwrite or batch.dataset.missing):
        said = f"All {len(batch.dataset.files):,} file(s) are answered in {out}."
        return Plan(TARGET, "score with", names.endpoint, (), Summary(names.place, notes=(said,)))
    package, model = desired.package, desired.model["ModelName"]
    foundation = (made(found.bucket, "bucket", names.bucket, "make_bucket", desired.bucket),)
    steps = (
        *foundation,
        made(found.package, "package", package.url, "put_package", asdict(package)),
        role(names, desired.role, found),
        *_rights(names, batch, found),
        hosted("model", model, desired.model, model in state.models),
        *_job(names, batch, version, model),
    )
    fleet = Fleet(batch.asked.instance_type, batch.asked.instances)
    place = Summary(names.place, region=names.region, notes=tuple(_notes(names, batch)))
    summary = replace(place, peak=str(fleet), instances=fleet.instance_type, count=fleet.count)
    return Plan(TARGET, "score with", names.endpoint, steps, summary, len(foundation))


def cancelled(names: Names, busy: list[TransformJob], places: Places) -> Plan:
    """Steps that stop what is at work there. Raises NotFound where nothing is."""
    steps = tuple(stopped(job.name) for job in busy if job.place == places.digest)
    if not steps:
        raise NotFound(
            f"AWS {names.region}, {places.output.url}: no job of {names.endpoint} is at work on"
            " this input and output; nothing to cancel"
        )
    return Plan(TARGET, "cancel a job of", names.endpoint, steps, Summary(names.place))


def at_work(batch: Batch, version: str) -> TransformJob | None:
    """The job of `version` that is at work. Raises UsageError where one of another version is."""
    busy = [job for job in batch.busy if job.place == batch.places.digest]
    if other := next((job for job in busy if job.version != version), None):
        raise other_version(other.name)
    return next(iter(busy), None)


def _rights(names: Names, batch: Batch, found: Prerequisites) -> Iterator[Step]:
    """The role's policy for this batch; those of earlier ones, which nobody followed to their end,
    go, where no job is at work."""
    if names.settings.role:
        return
    there = found.policies or ()
    policy = rights.batch_policy(names, batch.places, batch.keys)
    name = policy["PolicyName"]
    for other in there if not batch.busy else ():
        if rights.is_for_batch(other) and other != name:
            yield rights.taken(names, other)
    if name in there:
        yield Step(Action.REUSE, "role policy", name)
        return
    back = rights.taken(names, name)
    yield Step(Action.CREATE, "role policy", name, "give_rights", policy, removal=back)


def _job(names: Names, batch: Batch, version: str, model: str) -> Iterator[Step]:
    """The record of whose answers there will be, the manifest, and the job."""
    places, asked = batch.places, batch.asked
    dataset = batch.dataset.anew() if asked.overwrite else batch.dataset
    name = next_name(names, version, places.digest, batch.jobs)
    if not name:
        long = f"{names.endpoint}: too long for the name of a job, at most 38 characters fit"
        raise UsageError(f"{long}; name another with --name")
    wanted = where.record_of(names, places, version)
    if batch.record != wanted:
        text = json.dumps(wanted, indent=2) + "\n"
        yield _text(batch, "record of the batch", RECORD, text)
    manifest = where.manifest(places.input, dataset.missing)
    yield _text(batch, "manifest", requests.manifest_key(name), manifest)
    cut = requests.batching(dataset, batch.sample, asked.instance_type)
    request = requests.transform_job(names, places, asked, dataset, cut)
    request = requests.named(request, name, model, places) | {"Tags": names.tags(version)}
    step = Step(Action.CREATE, JOB, name, "start_job", request, removal=stopped(name))
    yield replace(step, proves=True)


def _text(batch: Batch, what: str, key: str, text: str) -> Step:
    at, out = batch.places.output.at(key), batch.places.output
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": batch.keys[1]}
    more = encryption if batch.keys[1] else {}
    request = {**at, "Body": text, "ContentType": "application/json", **more}
    return Step(Action.CREATE, what, f"{out.url}{key}", "put_text", request)


def _notes(names: Names, batch: Batch) -> Iterator[str]:
    dataset, kind = batch.dataset, batch.dataset.format.name
    missing = dataset.files if batch.asked.overwrite else dataset.missing
    size = sum(file.size for file in missing) / 1e6
    before = len(dataset.files) - len(missing)
    done = f", {before:,} are answered already" if before else ""
    yield f"{len(missing):,} file(s) of {kind}, {size:,.1f} MB{done}."
    over = [(dataset.others, "of no known format"), (dataset.empty, "without a byte")]
    passed = [f"{count:,} {why}" for count, why in over if count]
    if passed:
        yield f"Passed over: {', '.join(passed)}."
    if names.settings.role:
        yield f"The role {names.settings.role} needs {rights.needed(batch.places)}."
