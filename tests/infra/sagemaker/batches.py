"""Batches of the tests: files of a user's in S3, and the steps of the command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxferry.infra.batch_check import Sample
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.jobs import BatchJobs, BatchRequest, JobStatus
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker.batch.cloud import TransformJobs
from tests import tiny
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.infra.sagemaker.conftest import NAME, NOW, KeptSession, clock, settings_of

DATA = "their-data"
ASKED = BatchRequest(f"s3://{DATA}/in/", f"s3://{DATA}/out/", "ml.m5.large")
ITEM = json.dumps(tiny.QUESTION)
GOOD = f"{ITEM}\n{ITEM}\n"
NONE = Sample()
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"


def transform_jobs(**settings: Any) -> TransformJobs:
    given = settings_of(**settings)
    clients = AwsClients(given.profile, given.region, session=KeptSession)
    made = TransformJobs(clients, given, NAME, clock(), lambda: NOW)
    _: BatchJobs = made  # all that the command asks of one
    return made


def put(aws: AwsServer, files: Mapping[str, str | bytes]) -> None:
    """Files of the user's, below in/ in a bucket of theirs."""
    if DATA not in aws.s3.buckets:
        aws.s3.create_bucket(DATA, REGION)
    for name, text in files.items():
        aws.s3.put_object(DATA, f"in/{name}", text.encode() if isinstance(text, str) else text)


def answers(aws: AwsServer, name: str, bucket: str = DATA) -> list[Any]:
    """The lines of an answer file."""
    body = aws.s3.get_object(bucket, f"out/{name}.out").value
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def begin(
    bundle: Bundle, asked: BatchRequest = ASKED, sample: Sample = NONE, **settings: Any
) -> tuple[TransformJobs, Plan]:
    """As the command does it, up to a job that is at work."""
    made = transform_jobs(**settings)
    consent = Consent(yes=True, terminal=False)
    planned = execute(lambda: made.plan_batch(bundle, asked, sample), made, consent, force=True)
    return made, planned


def followed(made: TransformJobs, plan: Plan, asked: BatchRequest = ASKED) -> JobStatus:
    name = plan.steps[-1].name
    while (status := made.job(name, asked)).running:
        pass
    made.finish(asked)
    return status


def run(bundle: Bundle, asked: BatchRequest = ASKED, **settings: Any) -> JobStatus:
    made, plan = begin(bundle, asked, **settings)
    if plan.steps:
        return followed(made, plan, asked)
    made.finish(asked)
    done = len(made.dataset(asked).done)
    return JobStatus("", "nothing was missing", running=False, done=done, total=done)
