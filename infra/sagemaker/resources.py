"""What `status` lists: all that an endpoint has in the account, each with its kind, its name, and
what it does there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.costs import HOURLY, USED
from onnxferry.infra.sagemaker import scaling
from onnxferry.infra.sagemaker.async_inference import ASYNC
from onnxferry.infra.sagemaker.batch import jobs
from onnxferry.infra.sagemaker.fleet import running
from onnxferry.infra.sagemaker.owned import read_owned
from onnxferry.infra.sagemaker.state import CurrentState, Endpoint

Resource = tuple[str, str, str]  # kind, name, what it does


def resources(clients: AwsClients, there: CurrentState, busy: Iterable[str]) -> Iterator[Resource]:
    """`busy` are the batch jobs that are at work."""
    names, owned = there.names, read_owned(clients, there)
    yield from _hosting(there)
    if names.settings.role:
        yield "role", names.settings.role, "given"
    elif owned.role:
        yield "role", names.role, "made"
    if owned.template:
        yield "template", owned.template, "deployed"
    for found in owned.packages:
        for package in found.found:
            name = f"s3://{found.bucket}/{found.folder}{package.version}"
            yield "package", name, f"{len(package.objects)} objects"
            for key, upload in package.uploads:
                yield "unfinished upload", f"s3://{found.bucket}/{key}", upload[:12]
        if found.queued:
            name, said = f"s3://{found.bucket}/{found.folder}{ASYNC}", "requests and answers of"
            yield "objects", name, f"{found.queued} {said} invoke --async that nobody took"
        if found.others:
            name = f"s3://{found.bucket}/{found.folder}"
            yield "objects", name, f"{found.others} that are not onnxferry's"
    for folder in owned.unmarked:
        yield "package", f"s3://{names.bucket}/{folder}", "no mark: never deleted"
    for group in owned.logs:
        yield "log group", group, "kept"
    for job in busy:
        yield jobs.JOB, job, f"at work, {HOURLY}"
    for one in scaling.read_if_allowed(clients, names):
        by = "" if one.ours else ", by others"
        yield "autoscaling", one.settings.resource, f"{one.settings}{by}"


def _unproved(endpoint: Endpoint) -> str:
    """One that failed has no instances."""
    said = {"Deleting": "", "Failed": ", not proved"}
    billed = USED if endpoint.serverless else HOURLY
    return endpoint.state + said.get(endpoint.state, f", not proved, {billed}")


def _hosting(there: CurrentState) -> Iterator[Resource]:
    for endpoint in filter(None, (there.main, there.candidate)):
        proved = endpoint is there.main and endpoint.history
        yield "endpoint", endpoint.name, endpoint.state if proved else _unproved(endpoint)
    if there.shadow and there.main:
        runs = f"{running(there.shadow, there.main.counts)}, not proved, {HOURLY}"
        yield "shadow", there.shadow["VariantName"], runs
    for config in there.configs:
        serves = there.main and config == there.main.config
        use = "serves" if serves else "previous" if config == there.previous else "kept"
        yield "endpoint configuration", config, use
    for model in there.models:
        yield "model", model, "kept"
    for alarm in there.alarms.values():
        yield "alarm", alarm.name, alarm.state
