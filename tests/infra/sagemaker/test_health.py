"""A version that does not come up, or answers otherwise: why, what is left, and that the earlier
one serves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.infra.apply import Terms, apply
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
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scoring.wire import Request, Response
from tests.fakes.aws import AwsServer
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Trouble
from tests.fakes.aws.invocations import Host
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


def hosted(aws: AwsServer) -> tuple[list[str], list[str], list[str]]:
    """Endpoints, configurations and models."""
    configs, models = aws.sagemaker.endpoint_configs, aws.sagemaker._models
    return sorted(aws.endpoints), sorted(configs), sorted(models)


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
    assert f"The end of its log:\n{trouble.log or '(empty)'}" in text
    assert re.search(
        r"Removed what was not proved: endpoint squad; alarm \S+; endpoint configuration \S+;"
        r" model \S+\.",
        text,
    )
    assert "package s3://" in text.partition("Left: ")[2].partition("(billed by what it")[0]
    assert hosted(aws) == ([], [], [])
    assert cloud().status().state == "absent"
    del aws.endpoints.trouble[NAME]
    deploy(bundles[0])
    assert aws.endpoints[NAME].state == "InService"


def test_a_candidate_that_does_not_come_up_changes_nothing(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    changes, before = len(aws.endpoints.changes), hosted(aws)
    aws.endpoints.trouble[CANDIDATE] = Trouble("no health", "it died")
    said = (
        r"(?s)endpoint squad-candidate.*no health.*it died.*Removed what was not proved: endpoint"
    )
    with pytest.raises(NotHealthy, match=said):
        deploy(bundles[1])
    assert [c for c in aws.endpoints.changes[changes:] if c.endpoint == NAME] == []
    assert hosted(aws) == before
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
    changes, before = len(aws.endpoints.changes), hosted(aws)
    with pytest.raises(WrongAnswer) as caught:
        deploy(bundles[1])
    assert '"answer": "Rebecca"' in str(caught.value)
    assert '"answer": "Dolly"' in str(caught.value)
    assert "endpoint squad-candidate" in str(caught.value)
    assert [c for c in aws.endpoints.changes[changes:] if c.endpoint == NAME] == []
    assert hosted(aws) == before


def kept_failed(bundle: Bundle) -> SageMakerCloud:
    """A deployment with --keep-failed."""
    made = cloud()
    apply(made.plan_deploy(bundle), made, terms=Terms(keep_failed=True))
    return made


def test_what_failed_is_kept_where_that_is_asked_and_removed_later(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 31, good=0)
    deploy(bundles[0])
    before = hosted(aws)
    with pytest.raises(WrongAnswer) as caught:
        kept_failed(bundles[1])
    assert "Kept, as --keep-failed says: package s3://" in str(caught.value)
    assert "endpoint squad-candidate (billed by the hour)" in str(caught.value)
    assert "delete --target sagemaker --name squad --unproved" in str(caught.value)
    state = "InService, not proved, billed by the hour"
    assert ("endpoint", CANDIDATE, state) in cloud().status().resources
    made = cloud()
    apply(made.plan_delete_unproved(), made)
    assert hosted(aws) == before
    assert {key.split("/")[-2][:12] for keys in aws.keys.values() for key in keys} == {
        bundles[0].version
    }
    assert made.plan_delete_unproved().steps == ()


def test_an_endpoint_that_never_proved_itself_is_removed(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 30, good=0)
    with pytest.raises(WrongAnswer, match="billed by the hour"):
        kept_failed(bundles[0])
    assert cloud().status().resources[0][2] == "InService, not proved, billed by the hour"
    made = cloud()
    plan = made.plan_delete_unproved()
    with pytest.raises(WrongAnswer, match="Removed what was not proved: endpoint squad"):
        deploy(bundles[0])
    assert list(aws.endpoints) == []
    apply(plan, made)
    assert hosted(aws) == ([], [], [])


def test_what_cannot_be_removed_is_named_with_its_cost_and_the_command(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.hosts = lambda folder: wrong_host(folder, 31, good=0)
    aws.refusals["DeleteEndpoint"] = Refusal("AccessDeniedException", "no", 403)
    with pytest.raises(WrongAnswer) as caught:
        deploy(bundles[1])
    text = str(caught.value)
    assert "Removing endpoint squad-candidate failed too" in text
    assert "endpoint squad-candidate (billed by the hour)" in text.partition("Left: ")[2]
    assert "delete --target sagemaker --name squad --unproved" in text
    assert aws.endpoints[CANDIDATE].config in aws.sagemaker.endpoint_configs


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
