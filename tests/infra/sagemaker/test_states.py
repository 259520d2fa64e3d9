"""Deploy, roll back and delete go on from whatever state an endpoint is found in."""

from __future__ import annotations

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.endpoints import Endpoint
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

STATES = (
    "Creating",
    "Updating",
    "SystemUpdating",
    "RollingBack",
    "Deleting",
    "OutOfService",
    "Failed",
    "UpdateRollbackFailed",
)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("state", STATES)
def test_a_deployment_goes_on_from_any_state(
    aws: AwsServer, bundles: tuple[Bundle, ...], state: str, version: int
) -> None:
    deploy(bundles[0])
    found = aws.endpoints[NAME]
    found.state, found.looks, found.serving = (
        state,
        2,
        state not in ("Creating", "Deleting", "OutOfService"),
    )
    deploy(bundles[version])
    assert (aws.endpoints[NAME].state, cloud().status().version) == (
        "InService",
        bundles[version].version,
    )
    assert list(aws.endpoints) == [NAME]
    assert cloud().plan_deploy(bundles[version]).changes == ()


@pytest.mark.parametrize("state", STATES)
def test_a_deletion_goes_on_from_any_state(
    aws: AwsServer, bundles: tuple[Bundle, ...], state: str
) -> None:
    made = deploy(bundles[0])
    aws.endpoints[NAME].state, aws.endpoints[NAME].looks = state, 2
    apply(made.plan_delete(), made)
    assert (dict(aws.endpoints), aws.keys, aws.roles) == ({}, {}, {})


@pytest.mark.parametrize("state", [s for s in STATES if s not in ("Creating", "Deleting")])
def test_a_roll_back_goes_on_from_any_state(
    aws: AwsServer, bundles: tuple[Bundle, ...], state: str
) -> None:
    deploy(bundles[0])
    made = deploy(bundles[1])
    aws.endpoints[NAME].state, aws.endpoints[NAME].looks = state, 2
    apply(made.plan_rollback(), made)
    status = made.status()
    assert (status.state, status.version, status.previous) == (
        "InService",
        bundles[0].version,
        bundles[1].version,
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("InService", "InService, not proved, billed by the hour"),
        ("Creating", "Creating, not proved, billed by the hour"),
        ("Failed", "Failed, not proved"),
        ("Deleting", "Deleting"),
    ],
)
def test_status_marks_what_is_not_proved_and_billed(aws: AwsServer, state: str, said: str) -> None:
    name, tags = f"{NAME}-candidate", {"onnxferry:endpoint": NAME}
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}"
    aws.endpoints[name] = Endpoint(name, arn, "c", state=state, looks=9, tags=tags)
    assert ("endpoint", name, said) in cloud().status().resources
