"""SageMaker's Batch Transform: jobs that take time, split files, ask the container, and assemble
its answers; with the refusals and failures that its documentation names."""

from __future__ import annotations

import fnmatch
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from onnxferry import scoring
from onnxferry.scoring.rows.batch_form import BATCH
from onnxferry.scoring.wire import Request, Response
from tests.fakes.aws.answers import Refusal, limit, validation
from tests.fakes.aws.transform_records import BadRecord, Denied, check, records

Host = Callable[[Request], Response]
_GROUP = "/aws/sagemaker/TransformJobs"

_RESPONSE = 6_553_500  # bytes: the model server's own limit of an answer
_PAGE = 10
SEE_LOGS = "See job logs for more information"


class Account:
    """What a job needs of the account: models, roles, objects, logs, and containers."""

    def __init__(self, aws: Any, account: str, region: str) -> None:
        self._aws, self._place = aws, (account, region)
        self.hosts: Callable[[Path, Mapping[str, str]], Host] = loaded

    def model(self, name: str) -> Any:
        return self._aws.sagemaker._models.get(name)

    def host(self, name: str, environment: Mapping[str, str]) -> Host:
        """A container with a model."""
        url = self.model(name).primary_container["ModelDataUrl"]
        return self.hosts(self._aws.invocations.unpacked(url), environment)

    def policies(self, role: str) -> list[Any]:
        """The statements of a role's policies."""
        found = self._aws.roles.get(role.rpartition("/")[2])
        documents = found.policies.values() if found else ()
        return [s for text in documents for s in json.loads(text)["Statement"]]

    def say(self, job: str, text: str) -> None:
        """SageMaker prints `text` about a job's files."""
        account, region = self._place
        logs = get_backend("logs")[account][region]
        if _GROUP not in logs.groups:
            logs.create_log_group(_GROUP, {})
        stream = f"{job}/i-0123456789abcdef0/data-log"
        if stream not in logs.groups[_GROUP].streams:
            logs.create_log_stream(_GROUP, stream)
        event = {"timestamp": 1_790_000_000_000 + len(self._aws.calls), "message": text}
        logs.groups[_GROUP].streams[stream].put_log_events([event])

    @property
    def quotas(self) -> Mapping[str, float]:
        found: Mapping[str, float] = self._aws.endpoints.quotas
        return found

    @property
    def s3(self) -> Any:
        return self._aws.s3


def loaded(folder: Path, environment: Mapping[str, str]) -> Host:
    """The real scoring core on an unpacked package."""
    scorer = _scorer(folder, tuple(sorted(environment.items())))
    return lambda request: scorer.handle(request, BATCH)


@cache
def _scorer(folder: Path, environment: tuple[tuple[str, str], ...]) -> scoring.Scorer:
    return scoring.load(folder, dict(environment))


@dataclass
class Job:
    """`asked` is the request; `queue` are the inputs still to do (bucket, key, name below the
    prefix), `written` what was put; `looks` is how many more times a client asks before it has
    started."""

    name: str
    arn: str
    asked: Mapping[str, Any]
    looks: int
    tags: list[dict[str, str]]
    state: str = "InProgress"
    reason: str = ""
    queue: list[tuple[str, str, str]] | None = None
    written: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    made: float = field(default_factory=time.time)


class TransformJobs(dict[str, Job]):
    """All jobs by name, which stay for ever. `looks`: how long a start takes; `requests` are the
    bodies that containers got; with `full_keys` answers lie where inputs lie in their bucket;
    `trouble` maps a file's name to the status that its container answers."""

    def __init__(self, arn: str, account: Account) -> None:
        super().__init__()
        self.looks = 1
        self.full_keys = False
        self.requests: list[bytes] = []
        self.trouble: dict[str, int] = {}
        self.account = account
        self._arn = arn

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "CreateTransformJob": self.create,
            "DescribeTransformJob": self.describe,
            "StopTransformJob": self.stop,
            "ListTransformJobs": self.list,
        }

    def create(self, asked: Mapping[str, Any]) -> Any:
        name = asked["TransformJobName"]
        arn = f"{self._arn}:transform-job/{name.lower()}"
        if name in self:
            raise Refusal(
                "ResourceInUse",
                "Job name must be unique within an AWS account and region, and a job with this"
                f" name already exists ({arn})",
            )
        check(asked)
        if self.account.model(asked["ModelName"]) is None:
            raise validation(f'Could not find model "{self._arn}:model/{asked["ModelName"]}".')
        self._within_quota(asked["TransformResources"])
        self[name] = Job(name, arn, asked, self.looks, list(asked.get("Tags", [])))
        return {"TransformJobArn": arn}

    def describe(self, asked: Mapping[str, Any]) -> Any:
        job = self._found(asked["TransformJobName"])
        self._go_on(job)
        reason = {"FailureReason": job.reason} if job.reason else {}
        shown = {key: value for key, value in job.asked.items() if key != "Tags"}
        facts = {"TransformJobArn": job.arn, "TransformJobStatus": job.state}
        return {**shown, **facts, **reason, "CreationTime": job.made}

    def stop(self, asked: Mapping[str, Any]) -> Any:
        job = self._found(asked["TransformJobName"])
        if job.state != "InProgress":
            raise validation(
                f"The request was rejected because the transform job is in status {job.state}."
            )
        job.state = "Stopping"
        return {}

    def list(self, asked: Mapping[str, Any]) -> Any:
        named, state = asked.get("NameContains", ""), asked.get("StatusEquals", "")
        jobs = [j for j in self.values() if named in j.name and state in ("", j.state)]
        start = int(asked.get("NextToken", 0))
        end = start + int(asked.get("MaxResults", _PAGE))
        more = {"NextToken": str(end)} if end < len(jobs) else {}
        return {"TransformJobSummaries": list(map(_summary, jobs[start:end])), **more}

    def finish(self) -> None:
        """Let all that is at work end."""
        for job in self.values():
            while job.state in ("InProgress", "Stopping"):
                self._go_on(job)

    def _within_quota(self, fleet: Mapping[str, Any]) -> None:
        kind, count = fleet["InstanceType"], fleet["InstanceCount"]
        name = f"{kind} for transform job usage"
        busy = (j for j in self.values() if j.state in ("InProgress", "Stopping"))
        fleets = [j.asked["TransformResources"] for j in busy]
        used = sum(f["InstanceCount"] for f in fleets if f["InstanceType"] == kind)
        if used + count > self.account.quotas.get(name, 0.0):
            raise limit(name, self.account.quotas.get(name, 0.0), used, count)

    def _found(self, name: str) -> Job:
        if name not in self:
            raise validation(
                f'Could not find requested job with name: "{self._arn}:transform-job/{name}".'
            )
        return self[name]

    def _go_on(self, job: Job) -> None:
        """One file is done between two looks. What is stopped keeps nothing."""
        if job.state == "Stopping":
            job.state = "Stopped"
            for bucket, key in job.written:
                self.account.s3.delete_object(bucket, key)
        if job.state != "InProgress":
            return
        if job.looks > 0:
            job.looks -= 1
        elif job.queue is None:
            self._start(job)
        elif job.queue:
            self._transform(job, *job.queue.pop(0))
        else:
            job.state = "Failed" if job.failed else "Completed"
            job.reason = f"{job.failed[0]}: {SEE_LOGS}" if job.failed else ""

    def _start(self, job: Job) -> None:
        try:
            job.queue = list(self._inputs(job))
        except Denied as e:
            job.state, job.reason = "Failed", f"ClientError: {e}"

    def _inputs(self, job: Job) -> Iterator[tuple[str, str, str]]:
        source = job.asked["TransformInput"]["DataSource"]["S3DataSource"]
        bucket, key = _split(source["S3Uri"])
        if source["S3DataType"] == "S3Prefix":
            there = self.account.s3.buckets[bucket].keys
            found = [(bucket, k, k[len(key) :].lstrip("/")) for k in sorted(there)]
            yield from ((b, k, name) for b, k, name in found if k.startswith(key))
            return
        head, *names = json.loads(self._read(job, bucket, key))
        bucket, prefix = _split(head["prefix"])
        for name in names:
            self._read(job, bucket, prefix + name)
            yield bucket, prefix + name, name

    def _read(self, job: Job, bucket: str, key: str) -> bytes:
        self._allowed(job, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
        if key not in self.account.s3.buckets[bucket].keys:
            raise Denied(f"Data download failed: NoSuchKey (404): s3://{bucket}/{key}")
        return bytes(self.account.s3.get_object(bucket, key).value)

    def _allowed(self, job: Job, action: str, resource: str) -> None:
        role = self.account.model(job.asked["ModelName"]).execution_role_arn
        for statement in self.account.policies(role):
            actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
            fits = any(fnmatch.fnmatchcase(resource, pattern) for pattern in resources)
            if fits and any(fnmatch.fnmatchcase(action, pattern) for pattern in actions):
                return
        raise Denied(
            f"Access denied when calling {action} on {resource} with the role {role}: Forbidden"
            " (403)"
        )

    def _transform(self, job: Job, bucket: str, key: str, name: str) -> None:
        try:
            answer = self._assembled(job, self._read(job, bucket, key), name)
            out, folder = _split(job.asked["TransformOutput"]["S3OutputPath"].rstrip("/") + "/")
            at = f"{folder}{key if self.full_keys else name}.out"
            self._allowed(job, "s3:PutObject", f"arn:aws:s3:::{out}/{at}")
        except (Denied, BadRecord) as e:
            kind = "AlgorithmError" if isinstance(e, BadRecord) and e.ours else "ClientError"
            job.failed.append(kind)
            self.account.say(job.name, f"[sagemaker logs]: {bucket}/{key}: {e}")
            return
        self.account.s3.put_object(out, at, answer)
        job.written.append((out, at))

    def _assembled(self, job: Job, data: bytes, name: str) -> bytes:
        """What the container answers, as the file's answers."""
        asked, container = job.asked, self.account.model(job.asked["ModelName"])
        environment = {
            **container.primary_container.get("Environment", {}),
            **asked.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(asked.get("MaxPayloadInMB", 6)),
        }
        host = self.account.host(asked["ModelName"], environment)
        most = int(environment.get("MMS_MAX_RESPONSE_SIZE", _RESPONSE))
        end = b"\n" if asked["TransformOutput"].get("AssembleWith") == "Line" else b""
        parts = []
        for body in records(asked, data):
            self.requests.append(body)
            sent, out = asked["TransformInput"], asked["TransformOutput"]
            said = host(Request(body, sent.get("ContentType", ""), out.get("Accept", "*/*")))
            status = self.trouble.get(name, said.status)
            if status != 200:
                raise BadRecord(f"ClientError: {status}", ours=status >= 500)
            if len(said.body) > most:
                raise BadRecord("Unable to get response from algorithm", ours=True)
            parts.append(said.body + end)
        return b"".join(parts)


def _summary(job: Job) -> dict[str, Any]:
    return {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "CreationTime": job.made,
        "TransformJobStatus": job.state,
    }


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _listed(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else list(found)
