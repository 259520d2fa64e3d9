"""The command `batch`: score files in the cloud's storage, with no endpoint for it.

onnxferry batch --target sagemaker --input s3://BUCKET/in/ --output s3://BUCKET/out/
onnxferry batch --target azureml --input azureml://datastores/NAME/paths/in/ --output azureml://...
onnxferry batch ... --cancel
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.execution import Consent, execute
from onnxferry.system import options
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import batched

if TYPE_CHECKING:
    from onnxferry.infra.batch_check import Sample
    from onnxferry.infra.cloud import Bundle
    from onnxferry.infra.jobs import BatchJobs, BatchRequest, Dataset, JobStatus
    from onnxferry.infra.plan import Plan

_INPUT = "Folder or file to score: JSON Lines, CSV, Parquet (azureml) or pictures, by the suffix."
_OUTPUT = "Folder for the answers: NAME.out for each file NAME, a line for each line."
_TYPE = "Instance type; default: that of the endpoint."
_OVERWRITE = "Score all files again; otherwise those that have answers are left out."
_CANCEL = "Stop the job that is at work on this input and output."
_DOWNLOAD = "Folder of this machine for the answers, too, once the job has ended."


@options.command()
@options.apply(
    options.target(batched()),
    options.model,
    options.out,
    options.python,
    options.name,
    options.config,
    options.settings,
    options.yes,
)
@click.option("--input", "source", required=True, help=_INPUT)
@click.option("--output", "answers", required=True, help=_OUTPUT)
@click.option("--instance-type", default="", show_default=False, help=_TYPE)
@click.option("--instances", default=1, type=click.IntRange(1, 100), help="How many at a time.")
@click.option("--overwrite", is_flag=True, help=_OVERWRITE)
@click.option("--check/--no-check", default=True, help="Score the first rows here before.")
@click.option("--wait/--no-wait", default=True, help="Follow the job to its end.")
@click.option("--cancel", is_flag=True, help=_CANCEL)
@click.option("--download", type=click.Path(file_okay=False, path_type=Path), help=_DOWNLOAD)
@click.option("--format", "form", type=options.FORMATS, default="text", help="Of what is printed.")
@options.force
def batch(yes: bool, force: bool, cancel: bool, wait: bool, form: str, **flags: Any) -> None:
    """Score the files at INPUT into OUTPUT by a job of TARGET's own. A line comes out for each line
    in, with errors in their place. Scores the first rows here, and shows what the job will cost,
    before anything is paid. The same command again follows a job that is at work, or does what is
    missing."""
    from onnxferry.infra.jobs import BatchRequest, JobStatus

    keys = ("source", "answers", "instance_type", "instances", "overwrite")
    asked = BatchRequest(*(flags.pop(key) for key in keys))
    checked, folder = flags.pop("check"), flags.pop("download")
    if folder and not wait:
        raise UsageError("--download: there are no answers before the job has ended; not --no-wait")
    given = CommandOptions(**flags)
    jobs: BatchJobs = given.connected("jobs")
    jobs.sign_in()
    consent = Consent(yes=yes, terminal=sys.stdin.isatty(), always=not cancel)
    if cancel:
        execute(lambda: jobs.plan_cancel(asked), jobs, consent, force)
        return
    dataset = jobs.dataset(asked)
    bundle = _bundle(given)
    work = dataset.anew() if asked.overwrite else dataset
    sample = _sample(given, jobs, work, checked=checked)

    def planned_by() -> Plan:
        return _costed(given, jobs.plan_batch(bundle, asked, sample), work, sample, bundle)

    name = _started(execute(planned_by, jobs, consent, force))
    if name and wait:
        _end(_followed(jobs, name, asked), jobs, asked, (form, folder))
    else:
        done, total = len(dataset.done), len(dataset.files)
        none = JobStatus("", "nothing was missing", running=False, done=done, total=total)
        _say(jobs.job(name, asked) if name else none, asked, form)
        if not name:  # a run that ended early may have left it
            _finish(jobs, asked)
            _download(jobs, asked, folder)


def _bundle(given: CommandOptions) -> Bundle:
    from onnxferry.infra.cloud import bundle
    from onnxferry.scripts.package import package

    folder = given.prepared()
    python = given.python or given.config.model.python
    return bundle(package(folder, given.layout, out=given.out, python=python), folder)


def _sample(given: CommandOptions, jobs: BatchJobs, dataset: Dataset, *, checked: bool) -> Sample:
    """What the first rows came to; nothing where none are missing, or they are not to be scored."""
    from onnxferry.infra.batch_check import Sample, check

    if not checked or not dataset.missing:
        return Sample()
    with stage("score the first rows here"):
        return check(given.folder, dataset, lambda file, size: jobs.start_of(dataset, file, size))


def _costed(
    given: CommandOptions, plan: Plan, dataset: Dataset, sample: Sample, bundle: Bundle
) -> Plan:
    """The plan with what the first rows came to, and what the job will cost."""
    if not plan.changes:
        return plan
    notes = (*plan.summary.notes, sample.text(), *_cost(given, plan, dataset, sample, bundle))
    return replace(plan, summary=replace(plan.summary, notes=notes))


def _cost(
    given: CommandOptions, plan: Plan, dataset: Dataset, sample: Sample, bundle: Bundle
) -> Iterator[str]:
    from onnxferry.infra.batch_cost import BatchCost, cpu_of_row, rows_of
    from onnxferry.infra.prices import table
    from onnxferry.scripts.rehearse import record

    rehearsed = record.read(bundle.package)
    known = cpu_of_row(sample, rehearsed, bundle.package.sha256)
    fleet = (plan.summary.instances, plan.summary.count)
    prices = table.read(given.target, getattr(given.config, given.target).prices)
    cost = BatchCost(rows_of(dataset, sample), *known, *fleet)
    yield from cost.text(prices, plan.summary.region)


def _started(plan: Plan) -> str:
    """The name of the job that the plan's last step started, or found at work; "" where nothing
    was missing."""
    return plan.steps[-1].name if plan.steps else ""


def _followed(jobs: BatchJobs, name: str, asked: BatchRequest) -> JobStatus:
    """The job once it has ended. Raises StillRunning for Ctrl-C, which leaves it at work."""
    from onnxferry.infra.errors import StillRunning

    status = jobs.job(name, asked)
    try:
        with stage(f"follow {name}") as progress:
            while status.running:
                progress(f"{status.state}, {status.done:,} of {status.total:,} file(s) answered")
                jobs.clock.sleep(max(jobs.clock.interval, 0) * 3)
                status = jobs.job(name, asked)
    except (KeyboardInterrupt, SystemExit) as e:
        again = f"{program('batch')} with the same options"
        raise StillRunning(
            f"{name} goes on, and is billed. To follow it: {again}; to stop it: {again} and"
            " --cancel"
        ) from e
    return status


def _end(
    ended: JobStatus, jobs: BatchJobs, asked: BatchRequest, how: tuple[str, Path | None]
) -> None:
    """Say `how` the job ended (a format), with the answers in place, and in a folder here."""
    from onnxferry.infra.errors import BatchFailed

    form, folder = how
    with stage(f"collect the answers of {ended.name}") as progress:
        status = jobs.collected(ended, asked, progress)
    _say(status, asked, form)
    _finish(jobs, asked)
    _download(jobs, asked, folder)
    missing = status.total - status.done
    if status.succeeded and not missing:
        return
    why = f"\n{status.reason}" if status.reason else ""
    raise BatchFailed(
        f"{status.name} ended as {status.state}, and {missing:,} of {status.total:,} file(s) have"
        f" no answer. The same command again does what is missing.{why}"
    )


def _download(jobs: BatchJobs, asked: BatchRequest, folder: Path | None) -> None:
    """Write the answers that there are below `folder`, each file in whole or not at all."""
    if folder is None:
        return
    dataset = jobs.dataset(asked)
    with stage(f"download to {folder}") as progress:
        for file in (file for file in dataset.files if file.name in dataset.done):
            path = folder / f"{file.name}.out"
            if not path.resolve().is_relative_to(folder.resolve()):
                raise UsageError(f"--download: {file.name} would lie outside of {folder}")
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            progress(file.name)
            jobs.fetch(asked, file, part)
            part.replace(path)


def _finish(jobs: BatchJobs, asked: BatchRequest) -> None:
    """What that lacks is said, and changes nothing of the job's own end."""
    from onnxferry.infra.errors import CloudError

    try:
        jobs.finish(asked)
    except CloudError as e:
        click.echo(f"note: what the job needed was not taken back: {e}", err=True)


def _say(status: JobStatus, asked: BatchRequest, form: str) -> None:
    facts = {"job": status.name, "state": status.state, "output": asked.output}
    counts = {"answered": status.done, "files": status.total}
    if form == "json":
        click.echo(json.dumps({**facts, **counts}, indent=2))
    else:
        click.echo(f"{status.name or 'no job'}: {status.state}")
        click.echo(f"{status.done:,} of {status.total:,} file(s) answered in {asked.output}")
