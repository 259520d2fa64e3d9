"""Transform jobs that are there. SageMaker keeps each for ever, and its name with it: jobs of one
input, output and version are counted, ENDPOINT-VERSION-DIGEST-NUMBER."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker import state
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names

JOB = "transform job"
RUNNING = frozenset({"InProgress", "Stopping"})
LOG_GROUP = "/aws/sagemaker/TransformJobs"  # of all jobs of the account
_NAME = 63  # characters


@dataclass(frozen=True)
class TransformJob:
    """One of ours, by its name; `place` is the digest of its input and output."""

    name: str
    arn: str
    state: str
    version: str
    place: str
    number: int

    @property
    def running(self) -> bool:
        """Whether it is at work, or being stopped."""
        return self.state in RUNNING


def found(clients: AwsClients, names: Names, state: str = "") -> list[TransformJob]:
    """The jobs with names of ours, in a `state` if that is not ""; marks are not read."""
    pattern = re.compile(
        rf"{re.escape(names.endpoint)}-([0-9a-f]{{12}})-([0-9a-f]{{8}})-(\d{{1,5}})"
    )
    asked = {"NameContains": f"{names.endpoint}-", **({"StatusEquals": state} if state else {})}
    listed = ("sagemaker", "list_transform_jobs", "TransformJobSummaries", "transform jobs")
    jobs = []
    for item in clients.pages(*listed, **asked):
        if match := pattern.fullmatch(item["TransformJobName"]):
            arn, status = item["TransformJobArn"], item["TransformJobStatus"]
            job = TransformJob(match[0], arn, status, match[1], match[2], int(match[3]))
            jobs.append(job)
    return jobs


def running(clients: AwsClients, names: Names) -> list[TransformJob]:
    """Those of ours that are at work: they carry our mark."""
    busy = [job for state in sorted(RUNNING) for job in found(clients, names, state)]
    return [job for job in busy if is_ours(clients, names, job.name, job.arn)]


def is_ours(clients: AwsClients, names: Names, name: str, arn: str) -> bool:
    """Whether a job carries our mark."""
    tags = state.tags_of(clients, arn, f"transform job {name}")
    return tags.get(ENDPOINT_TAG) == names.made


def described(clients: AwsClients, name: str) -> Any:
    """As SageMaker describes it; None where there is none."""
    describe = ("sagemaker", "describe_transform_job", f"transform job {name}")
    return clients.call_if_there(*describe, TransformJobName=name)


def stopped(name: str) -> Step:
    """A step that stops a job. SageMaker keeps its record, and deletes none."""
    return Step(Action.DELETE, JOB, name, "stop_job", {"TransformJobName": name})


def next_name(names: Names, version: str, place: str, there: list[TransformJob]) -> str:
    """The next job's. Its number is one more than that of the last."""
    own = [job.number for job in there if (job.version, job.place) == (version, place)]
    name = f"{names.endpoint}-{version}-{place}-{max(own, default=0) + 1}"
    return name if len(name) <= _NAME else ""


def failure(clients: AwsClients, name: str, found: Mapping[str, Any]) -> str:
    """Why a job failed, with the end of its log."""
    reason = found.get("FailureReason", "SageMaker gives no reason")
    return f"{reason}\nThe end of its log:\n{log(clients, name) or '(empty)'}"


def log(clients: AwsClients, name: str, lines: int = 30) -> str:
    """The end of what a job's containers, and SageMaker about its files, have printed; or why there
    is nothing."""
    try:
        events = sorted(_events(clients, name, lines))
    except NotFound:
        return "(no log: no container has printed anything)"
    except CloudError as e:
        return f"(the log cannot be read: {e})"
    return "\n".join(message.rstrip() for _, message in events[-lines:])


def _events(clients: AwsClients, name: str, lines: int) -> Iterator[tuple[int, str]]:
    group, where = {"logGroupName": LOG_GROUP}, f"log group {LOG_GROUP}"
    listed = {**group, "logStreamNamePrefix": f"{name}/", "limit": 10}
    streams = clients.call("logs", "describe_log_streams", where, **listed)["logStreams"]
    last = {**group, "limit": lines, "startFromHead": False}
    for stream in (found["logStreamName"] for found in streams):
        answer = clients.call("logs", "get_log_events", where, logStreamName=stream, **last)
        yield from ((event["timestamp"], event["message"]) for event in answer["events"])
