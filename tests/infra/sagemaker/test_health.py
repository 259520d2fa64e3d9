"""A version that does not come up, or answers otherwise: why, what is left, and that the earlier
one serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import (
    BuildFailed,
    CloudError,
    NotFound,
    NotHealthy,
    PublishFailed,
    QuotaExceeded,
    WrongAnswer,
)
from onnxferry.scoring.wire import Request, Response
from tests.fakes.aws import AwsServer
from tests.fakes.aws.endpoints import Trouble
from tests.fakes.aws.server import Host
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

CANDIDATE = f"{NAME}-candidate"


REASONS: list[tuple[type[CloudError], Trouble, str]] = [
    (
        NotHealthy,
        Trouble(
            "The primary container for production variant AllTraffic did not pass the ping health"
            " check.",
            "Traceback ...\nModelError: model.onnx is truncated",
        ),
        "rehearse the package",
    ),
    (
        QuotaExceeded,
        Trouble(
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity"
        ),
        "instance_type or region",
    ),
    (NotFound, Trouble("The image '763...' does not exist."), "sagemaker.image"),
    (PublishFailed, Trouble("Failed to download model data for container"), "uploaded anew"),
    (
        BuildFailed,
        Trouble(
            "did not pass the ping health check",
            "ERROR: No matching distribution found for numpy==9",
        ),
        "could not install code/requirements.txt",
    ),
]


@pytest.mark.parametrize(
    ("kind", "trouble", "following"), REASONS, ids=[kind.__name__ for kind, _, _ in REASONS]
)
def test_an_endpoint_that_does_not_come_up(
    aws: AwsServer,
    bundles: tuple[Bundle, ...],
    kind: type[CloudError],
    trouble: Trouble,
    following: str,
) -> None:
    aws.endpoints.trouble[NAME] = trouble
    with pytest.raises(kind) as caught:
        deploy(bundles[0])
    text = str(caught.value)
    assert trouble.reason in text
    assert following in text
    assert "onnxferry delete removes it" in text
    assert f"The end of its log:\n{trouble.log or '(empty)'}" in text
    status = cloud().status()
    assert (status.state, status.version) == ("Failed", bundles[0].version)
    assert ("endpoint", NAME, "Failed") in status.resources
    del aws.endpoints.trouble[NAME]
    deploy(bundles[0])
    assert aws.endpoints[NAME].state == "InService"


def test_a_candidate_that_does_not_come_up_changes_nothing(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    changes = len(aws.endpoints.changes)
    aws.endpoints.trouble[CANDIDATE] = Trouble("no health", "it died")
    with pytest.raises(NotHealthy, match=r"(?s)endpoint squad-candidate.*no health.*it died"):
        deploy(bundles[1])
    assert len(aws.endpoints.changes) == changes
    assert ("endpoint", CANDIDATE, "Failed") in cloud().status().resources
    aws.endpoints.trouble.clear()
    deploy(bundles[1])
    assert cloud().status().version == bundles[1].version
    assert CANDIDATE not in aws.endpoints


@pytest.mark.parametrize("state", ["Failed", "really Failed", "UpdateRollbackFailed"])
def test_an_update_that_fails_ends_with_the_earlier_version(
    aws: AwsServer, bundles: tuple[Bundle, ...], state: str
) -> None:
    deploy(bundles[0])
    before = aws.endpoints[NAME].config
    aws.endpoints.trouble[NAME] = Once(aws, Trouble("no health", "it died", state))
    with pytest.raises(
        NotHealthy, match=r"(?s)no health.*it died.*The earlier version serves again"
    ):
        deploy(bundles[1])
    assert (aws.endpoints[NAME].config, aws.endpoints[NAME].state) == (before, "InService")
    deploy(bundles[1])
    status = cloud().status()
    assert (status.version, status.previous) == (bundles[1].version, bundles[0].version)


class Once(Trouble):
    """Trouble that is gone when it has been told."""

    def __init__(self, aws: AwsServer, told: Trouble) -> None:
        super().__init__(told.reason, told.log, told.state)
        object.__setattr__(self, "_aws", aws)

    def __getattribute__(self, name: str) -> Any:
        if name == "reason":
            object.__getattribute__(self, "_aws").endpoints.trouble.clear()
        return object.__getattribute__(self, name)


def wrong_host(folder: Path, version: int, good: int) -> Host:
    """Answers as the package does, but that of `version` (its max_length) wrongly after `good`
    requests."""
    handle, asked = scoring.load(folder).handle, [0]
    spec = json.loads((folder / "model_spec.json").read_text())

    def answer(request: Request) -> Response:
        asked[0] += 1
        if spec["settings"]["max_length"] != version or asked[0] <= good:
            return handle(request)
        return Response(200, b'{"score": 0.1, "start": 0, "end": 5, "answer": "Dolly"}')

    return answer


def test_a_candidate_that_answers_otherwise_changes_nothing(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 31, good=0)
    deploy(bundles[0])
    changes = len(aws.endpoints.changes)
    with pytest.raises(WrongAnswer) as caught:
        deploy(bundles[1])
    assert '"answer": "Rebecca"' in str(caught.value)
    assert '"answer": "Dolly"' in str(caught.value)
    assert "endpoint squad-candidate" in str(caught.value)
    assert [c for c in aws.endpoints.changes[changes:] if c.endpoint == NAME] == []


def test_an_endpoint_that_answers_otherwise_is_taken_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 31, good=1)
    deploy(bundles[0])
    with pytest.raises(WrongAnswer, match=r"(?s)Dolly.*The earlier version serves again"):
        deploy(bundles[1])
    assert cloud().status().version == bundles[0].version


def test_a_roll_back_to_a_version_that_answers_otherwise_is_taken_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 30, good=1)
    deploy(bundles[0])
    made = deploy(bundles[1])
    with pytest.raises(WrongAnswer, match=r"(?s)Dolly.*The earlier version serves again"):
        apply(made.plan_rollback(), made)
    assert cloud().status().version == bundles[1].version
