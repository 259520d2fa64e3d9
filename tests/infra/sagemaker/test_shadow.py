"""A new version as a shadow: what serves goes on serving, the new one gets a copy of the requests,
and it takes over, or goes away again, when somebody says so."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.system.errors import UsageError
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.endpoints import Trouble
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy
from tests.infra.sagemaker.test_flow import TRUST

SHADOWED: dict[str, Any] = {"rollout": {"shadow": 50}, "capture": {}}
CAPTURED = f"s3://onnxferry-{ACCOUNT}-{REGION}/onnxferry-captured/{ACCOUNT}-{REGION}"


@pytest.fixture
def shadowed(aws: AwsServer, bundles: tuple[Bundle, ...]) -> SageMakerCloud:
    """The third version as a shadow of the second, which replaced the first."""
    deploy(bundles[0])
    deploy(bundles[1])
    aws.endpoints.changes.clear()
    return deploy(bundles[2], **SHADOWED)


def versions(aws: AwsServer) -> dict[str, list[str]]:
    """Of what is in the account, by kind."""
    kinds = {"config": aws.sagemaker.endpoint_configs, "model": aws.sagemaker._models}
    return {k: sorted(name[len(NAME) + 1 :][:12] for name in found) for k, found in kinds.items()}


def test_what_serves_goes_on_serving_and_the_new_version_gets_its_part(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    one, two, three = (bundle.version for bundle in bundles)
    status = shadowed.status()
    assert (status.version, status.previous) == (two, two)  # what a roll-back goes to
    assert status.details["shadow"] == (
        f"{three} gets a copy of 50 % of the requests, on 1 x ml.m5.large"
    )
    (row,) = [row for row in status.resources if row[0] == "shadow"]
    assert row[2] == "1 x ml.m5.large, not proved, billed by the hour"
    assert shadowed.invoke(QUESTION, 60).served_by == f"AllTraffic {two}"
    fleets = aws.endpoints[NAME].fleets.values()
    assert [(fleet.shadow, fleet.weight) for fleet in fleets] == [(False, 1.0), (True, 0.5)]
    assert versions(aws) == {  # nothing that served went
        "config": sorted([one, two, two, three]),
        "model": sorted([one, two, three]),
    }
    listed = {item.kind: item for item in shadowed.listed()}
    assert listed["endpoint"].instance_hours == 48


def test_the_new_version_proves_itself_first_and_the_same_again_has_nothing_to_do(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    (*_, last) = aws.endpoints.changes
    candidates = [c for c in aws.endpoints.changes if c.endpoint == f"{NAME}-candidate"]
    assert bundles[2].version in str(candidates[0].config)
    assert (last.endpoint, bundles[1].version in str(last.config)) == (NAME, True)
    assert set(aws.endpoints) == {NAME}
    planned = shadowed.plan_deploy(bundles[2])
    assert planned.changes == ()
    assert f"Version {bundles[1].version} goes on serving" in plan_text(planned)
    apply(planned, shadowed)
    assert shadowed.plan_deploy(bundles[2]).changes == ()


def test_the_plan_says_what_runs_and_what_is_kept(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    text = plan_text(cloud(**SHADOWED).plan_deploy(bundles[1]))
    assert f"Version {bundles[0].version} goes on serving on 1 x ml.m5.large." in text
    assert "At most 3 x ml.m5.large run at a time meanwhile." in text
    assert "gets a copy of 50 % of the requests as a shadow, on 1 x ml.m5.large" in text
    assert f"100 % of the requests and their answers are kept as they are in {CAPTURED}" in text
    redacted = cloud(rollout={"shadow": 50}, capture={"redact": True}).plan_deploy(bundles[1])
    assert "without the requests, are kept as they are" in plan_text(redacted)


def test_it_takes_over(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    made = cloud(capture={})
    planned = made.plan_deploy(bundles[2])
    (update,) = [s for s in planned.destructive if s.action is Action.UPDATE]
    assert update.name == NAME
    assert "At most 3 x ml.m5.large run at a time" in plan_text(planned)
    apply(planned, made)
    status = made.status()
    assert (status.version, status.previous) == (bundles[2].version, bundles[1].version)
    assert "shadow" not in status.details
    assert versions(aws)["config"] == sorted([bundles[1].version, bundles[2].version])
    assert aws.endpoints[NAME].count == 1


def test_another_part_and_another_version_are_changes_and_what_serves_keeps_its_instances(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    aws.endpoints[NAME].count = 3
    deploy(bundles[2], **{**SHADOWED, "rollout": {"shadow": 20}})
    fleets = aws.endpoints[NAME].fleets.values()
    assert [(fleet.count, fleet.weight) for fleet in fleets] == [(3, 1.0), (1, 0.2)]
    deploy(bundles[0], **SHADOWED)
    assert bundles[0].version in shadowed.status().details["shadow"]
    assert bundles[2].version not in versions(aws)["model"]


@pytest.mark.parametrize("way", ["rollback", "unproved"])
def test_it_goes_away(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...], way: str
) -> None:
    plan = shadowed.plan_rollback() if way == "rollback" else shadowed.plan_delete_unproved()
    apply(plan, shadowed)
    status = cloud().status()
    assert (status.version, status.previous) == (bundles[1].version, bundles[0].version)
    assert "shadow" not in status.details
    apply(shadowed.plan_delete_unproved(), shadowed)
    left = sorted([bundles[0].version, bundles[1].version])
    assert versions(aws) == {"config": left, "model": left}
    assert shadowed.plan_delete_unproved().changes == ()


def test_a_roll_back_that_was_interrupted_goes_on_to_what_serves(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    planned = shadowed.plan_rollback()
    (back,) = [step for step in planned.steps if step.operation == "promote"]
    shadowed.clients.call("sagemaker", "update_endpoint", NAME, **back.parameters["update"])
    apply(cloud().plan_rollback(), cloud())
    assert cloud().status().version == bundles[1].version


def test_autoscaling_of_what_serves_stays_when_a_shadow_comes_and_goes(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    scaling = {"max": 3, "target": 100.0}
    deploy(bundles[0], scaling=scaling)
    made = deploy(bundles[1], scaling=scaling, **SHADOWED)
    assert made.plan_deploy(bundles[1]).changes == ()
    planned = made.plan_delete_unproved()
    assert not [step for step in planned.steps if step.resource == "autoscaling"]
    apply(planned, made)
    assert cloud(scaling=scaling).plan_deploy(bundles[0]).changes == ()


def test_the_first_version_takes_all_requests_and_no_version_is_a_shadow_of_itself(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = cloud(**SHADOWED)
    planned = made.plan_deploy(bundles[0])
    assert any("Nothing serves yet" in note for note in planned.summary.notes)
    apply(planned, made)
    assert "shadow" not in made.status().details
    deploy(bundles[0], rollout={"shadow": 50}, capture={"percent": 50})
    assert "shadow" not in made.status().details
    config = aws.sagemaker.endpoint_configs[aws.endpoints[NAME].config]
    assert config.data_capture_config["InitialSamplingPercentage"] == 50


def test_a_shadow_that_does_not_come_up_is_taken_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    before = aws.endpoints[NAME].config
    aws.endpoints.trouble[NAME] = Trouble("no capacity: InsufficientInstanceCapacity")
    made = cloud(**SHADOWED)
    with pytest.raises(CloudError):
        apply(made.plan_deploy(bundles[1]), made)
    assert aws.endpoints[NAME].config == before
    aws.endpoints.trouble.clear()
    apply(made.plan_deploy(bundles[1]), made)
    assert made.status().details["shadow"]


@pytest.mark.parametrize(
    ("serving", "says"),
    [
        ({"mode": "serverless"}, "what serves is serverless"),
        ({"variants": {"b": {}}}, "what serves is 2 production variants"),
    ],
)
def test_what_can_have_no_shadow_is_told(
    aws: AwsServer, bundles: tuple[Bundle, ...], serving: dict[str, Any], says: str
) -> None:
    deploy(bundles[0], serving=serving)
    with pytest.raises(UsageError, match=says):
        cloud(**SHADOWED).plan_deploy(bundles[1])


def test_a_given_role_is_told_what_it_needs(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="mine", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    planned = cloud(capture={}, role=role).plan_deploy(bundles[0])
    needs = f"needs s3:PutObject on arn:aws:s3:::{CAPTURED.removeprefix('s3://')}/*"
    assert any(needs in note for note in planned.summary.notes)
