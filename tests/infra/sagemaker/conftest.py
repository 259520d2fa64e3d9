"""The double of AWS, two versions of a tiny model, and an endpoint named squad to deploy them
to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from onnxferry import scoring
from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, bundle
from onnxferry.infra.config import DeployConfig, SageMaker
from onnxferry.infra.sagemaker import connect
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import package
from tests import tiny
from tests.fakes.aws import REGION, Double, double

NAME = "squad"
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
        made.append(
            bundle(package(folder, "sagemaker", out=tmp_path_factory.mktemp("packages")), folder)
        )
    return tuple(made)


@pytest.fixture(scope="session")
def server() -> Iterator[Double]:
    with double() as made, pytest.MonkeyPatch.context() as patch:
        keep_clients(patch)
        yield made


def keep_clients(patch: pytest.MonkeyPatch) -> None:
    """Have each client made once, since to make one takes longer than a flow."""
    kept, make = dict[Any, Any](), boto3.Session.client

    def client(session: Any, service: str, *args: Any, **options: Any) -> Any:
        config = options.get("config")
        if config is None:
            return make(session, service, *args, **options)
        signed = [os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID")]
        key = (service, session.region_name, config.read_timeout, *signed)
        if key not in kept:
            kept[key] = make(session, service, *args, **options)
        return kept[key]

    patch.setattr(boto3.Session, "client", client)


@pytest.fixture
def aws(server: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Double]:
    """An empty account that this process is signed in to; every request was well-formed."""
    server.reset()
    sign_in(server, monkeypatch, tmp_path)
    yield server
    assert server.violations == []


def sign_in(server: Double, patch: pytest.MonkeyPatch, folder: Path) -> None:
    """To the double's account, and to nothing that the machine knows."""
    none = str(folder / "none")
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": none,
        "AWS_SHARED_CREDENTIALS_FILE": none,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        patch.setenv(name, value)
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "HTTP_PROXY",
        "http_proxy",
    ):
        patch.delenv(name, raising=False)
    # the SDK's back-off
    patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))


def cloud(**settings: Any) -> SageMakerCloud:
    return connect(
        DeployConfig(sagemaker=SageMaker(**{"region": REGION, **settings})), NAME, clock()
    )


def deploy(bundle: Bundle, **settings: Any) -> SageMakerCloud:
    """Plan and apply, as deploy.py does."""
    made = cloud(**settings)
    apply(made.plan_deploy(bundle), made)
    return made


Deploy = Callable[..., SageMakerCloud]
