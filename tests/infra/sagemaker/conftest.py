"""The fake of AWS, two versions of a tiny model, and an endpoint named squad to deploy them
to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import boto3
import botocore.endpoint
import pytest

from onnxferry import scoring
from onnxferry.infra.apply import apply
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle, bundle
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import package
from tests import tiny
from tests.fakes.aws import REGION, AwsServer, aws_server
from tests.fakes.aws.in_process import attach
from tests.packages import bare

NAME = "squad"
NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
_OTHERS = ("service-quotas", "cloudwatch", "application-autoscaling")
SERVICES = ("s3", "iam", "sts", "logs", "sagemaker", *_OTHERS)
QUESTION = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


def clock() -> Clock:
    """Time that passes only by waiting."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Clock(lambda: now[0], sleep, 5.0)


def model(folder: Path, max_length: int) -> Path:
    """A tiny model directory with a golden request; another `max_length` is another version."""
    tiny.question_answering(folder, max_length=max_length)
    answer = json.loads(scoring.load(folder).handle(QUESTION).body)
    return tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=Golden(QUESTION, answer)))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, ...]:
    """Three versions."""
    made = []
    for max_length in (30, 31, 32):
        folder = model(tmp_path_factory.mktemp("models") / str(max_length), max_length)
        built = package(folder, bare("sagemaker"), out=tmp_path_factory.mktemp("packages"))
        made.append(bundle(built, folder))
    return tuple(made)


class KeptSession(boto3.Session):  # type: ignore[misc]
    """Makes each client once for all sessions, since to make one takes longer than a flow, and
    retries without the SDK's pauses. Requests to one of `servers`, by its URL, need no socket, but
    those of invocations, which may time out."""

    servers: ClassVar[dict[str, AwsServer]] = {}
    _kept: ClassVar[dict[Any, Any]] = {}

    def client(self, service: str, *args: Any, **options: Any) -> Any:
        signed = [os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID")]
        server = self.servers.get(signed[0] or "") if service != "sagemaker-runtime" else None
        whose = (self.region_name, self.profile_name, *signed)
        key = (service, getattr(options.get("config"), "read_timeout", None), *whose, bool(server))
        if key not in self._kept:
            made = super().client(service, *args, **options)
            self._kept[key] = attach(made, server) if server else made
        return self._kept[key]

    def resource(self, service: str, *args: Any, **options: Any) -> Any:
        key = ("resource", service, os.environ.get("AWS_ENDPOINT_URL"))
        if key not in self._kept:
            self._kept[key] = super().resource(service, *args, **options)
        return self._kept[key]


@pytest.fixture(scope="session")
def server() -> Iterator[AwsServer]:
    with aws_server() as made, no_pauses():
        KeptSession.servers[made.url] = made
        yield made


@contextmanager
def no_pauses() -> Iterator[None]:
    """botocore has no setting for how long it waits before another attempt."""
    real = botocore.endpoint.time
    botocore.endpoint.time = SimpleNamespace(sleep=lambda seconds: None)
    try:
        yield
    finally:
        botocore.endpoint.time = real


@pytest.fixture
def aws(server: AwsServer) -> Iterator[AwsServer]:
    """An empty account that this process is signed in to; every request was well-formed."""
    server.reset()
    with server.reachable():
        yield server
    assert server.violations == []


def make_clients() -> None:
    """Those of cloud(), which send nothing yet: a forked process may use them as its own."""
    clients = cloud().clients
    for service in (*SERVICES, "sagemaker-runtime"):
        clients._client(service)


def settings_of(**settings: Any) -> SageMaker:
    """The table with these keys; those of the table `serving` may be given as they are."""
    keys = {key for key in settings if key not in SageMaker.model_fields}
    serving = {key: settings[key] for key in keys}
    others = {key: value for key, value in settings.items() if key not in keys}
    if serving:
        others["serving"] = serving
    return SageMaker.model_validate({"region": REGION, **others})


def cloud(**settings: Any) -> SageMakerCloud:
    given = settings_of(**settings)
    clients = AwsClients(given.profile, given.region, session=KeptSession)
    return SageMakerCloud(clients, given, NAME, clock(), lambda: NOW)


def deploy(bundle: Bundle, **settings: Any) -> SageMakerCloud:
    """Plan and apply, as deploy.py does."""
    made = cloud(**settings)
    apply(made.plan_deploy(bundle), made)
    return made


Deploy = Callable[..., SageMakerCloud]
