"""A new version as a shadow: what serves goes on serving, the new one gets a copy of the requests,
and it takes over, or goes away again, when somebody says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.comparison import AnswerRules, ComparisonReport, compare
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy

SHADOWED: dict[str, Any] = {"rollout": {"shadow": 50}, "capture": {}}
QA = AnswerRules.of(ModelSpec("m", "question-answering"))
CAPTURED = f"s3://onnxferry-{ACCOUNT}-{REGION}/onnxferry-captured/{ACCOUNT}-{REGION}"


@pytest.fixture
def shadowed(aws: AwsServer, bundles: tuple[Bundle, ...]) -> Iterator[SageMakerCloud]:
    """The third version as a shadow of the second, which replaced the first."""
    deploy(bundles[0])
    deploy(bundles[1])
    aws.endpoints.changes.clear()
    yield deploy(bundles[2], **SHADOWED)


def ask(made: SageMakerCloud, times: int = 1) -> None:
    for i in range(times):
        question = {**tiny.QUESTION, "question": f"Who is number {i}?"}
        made.invoke(Request(json.dumps({"inputs": question}).encode()), 60)


def report(made: SageMakerCloud, limit: int = 1000, show: int = 0) -> ComparisonReport:
    return compare(made.shadow_traffic(None, limit), QA, show)


def versions(aws: AwsServer) -> dict[str, list[str]]:
    """Of what is in the account, by kind."""
    kinds = {"config": aws.sagemaker.endpoint_configs, "model": aws.sagemaker._models}
    return {k: sorted(name[len(NAME) + 1 :][:12] for name in found) for k, found in kinds.items()}


def test_what_serves_goes_on_serving_and_the_new_version_gets_its_part(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    status = shadowed.status()
    assert (status.version, status.previous) == (bundles[1].version, bundles[1].version)
    assert status.details["shadow"] == (
        f"{bundles[2].version} gets a copy of 50 % of the requests, on 1 x ml.m5.large"
    )
    (row,) = [row for row in status.resources if row[0] == "shadow"]
    assert row[2] == "1 x ml.m5.large, not proved, billed by the hour"
    assert shadowed.invoke(QUESTION, 60).served_by == f"AllTraffic {bundles[1].version}"
    fleets = aws.endpoints[NAME].fleets.values()
    assert [(fleet.shadow, fleet.weight) for fleet in fleets] == [(False, 1.0), (True, 0.5)]


def test_the_new_version_proves_itself_first_as_a_candidate(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    (*_, last) = aws.endpoints.changes
    candidates = [c for c in aws.endpoints.changes if c.endpoint == f"{NAME}-candidate"]
    assert bundles[2].version in str(candidates[0].config)
    assert (last.endpoint, bundles[1].version in str(last.config)) == (NAME, True)
    assert set(aws.endpoints) == {NAME}


def test_the_same_again_has_nothing_to_do(
    shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
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
    assert f"Version {bundles[0].version} goes on serving on 2 x ml.m5.large." in text
    assert "At most 3 x ml.m5.large run at a time meanwhile." in text
    assert "gets a copy of 50 % of the requests as a shadow, on 1 x ml.m5.large" in text
    assert f"100 % of the requests and their answers are kept as they are in {CAPTURED}" in text


def test_nothing_that_served_goes(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    one, two, three = (bundle.version for bundle in bundles)
    assert versions(aws) == {
        "config": sorted([one, two, two, three]),
        "model": sorted([one, two, three]),
    }


def test_it_takes_over(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    live = deploy(bundles[2], capture={})
    status = live.status()
    assert (status.version, status.previous) == (bundles[2].version, bundles[1].version)
    assert "shadow" not in status.details
    assert versions(aws)["config"] == sorted([bundles[1].version, bundles[2].version])
    assert aws.endpoints[NAME].count == 1


def test_another_version_takes_its_place(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **SHADOWED)
    assert bundles[0].version in shadowed.status().details["shadow"]
    assert bundles[2].version not in versions(aws)["model"]


def test_another_part_of_the_requests_is_a_change(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[2], **{**SHADOWED, "rollout": {"shadow": 20}})
    (shadow,) = [fleet for fleet in aws.endpoints[NAME].fleets.values() if fleet.shadow]
    assert shadow.weight == 0.2


def test_the_number_of_instances_that_serve_stays(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    aws.endpoints[NAME].count = 3
    deploy(bundles[2], **{**SHADOWED, "rollout": {"shadow": 20}})
    assert [fleet.count for fleet in aws.endpoints[NAME].fleets.values()] == [3, 1]


@pytest.mark.parametrize("way", ["rollback", "unproved"])
def test_it_goes_away(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...], way: str
) -> None:
    plan = shadowed.plan_rollback() if way == "rollback" else shadowed.plan_delete_unproved()
    apply(plan, shadowed)
    status = cloud().status()
    assert (status.version, status.previous) == (bundles[1].version, bundles[0].version)
    assert "shadow" not in status.details
    if way == "unproved":
        assert versions(aws) == {
            kind: sorted([bundles[0].version, bundles[1].version]) for kind in ("config", "model")
        }
        assert shadowed.plan_delete_unproved().changes == ()


def test_a_roll_back_that_was_interrupted_goes_on_to_what_serves(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    planned = shadowed.plan_rollback()
    (back,) = [step for step in planned.steps if step.operation == "promote"]
    shadowed.clients.call("sagemaker", "update_endpoint", NAME, **back.parameters["update"])
    apply(cloud().plan_rollback(), cloud())
    assert cloud().status().version == bundles[1].version


def test_deletion_leaves_only_what_was_captured(aws: AwsServer, shadowed: SageMakerCloud) -> None:
    ask(shadowed)
    aws.capture.deliver()
    planned = shadowed.plan_delete()
    assert f"What was captured in {CAPTURED}/{NAME}/ stays" in plan_text(planned)
    apply(planned, shadowed)
    assert (dict(aws.endpoints), aws.sagemaker.endpoint_configs) == ({}, {})
    (keys,) = aws.keys.values()
    assert keys
    assert all(key.startswith("onnxferry-captured/") for key in keys)


def test_what_is_captured_of_both_is_compared(
    aws: AwsServer, shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    aws.metrics.latency |= {"shadow": 30_000.0}
    ask(shadowed, 4)
    assert report(shadowed).pairs == 0  # it takes some minutes to come
    aws.capture.deliver()
    found = report(shadowed)
    assert (found.serving.version, found.shadow.version) == (bundles[1].version, bundles[2].version)
    assert (found.shadow.captured, found.pairs, found.percent) == (2, 2, 50)
    assert found.shadow.metrics
    assert (found.shadow.metrics.requests, found.shadow.metrics.p95_ms) == (2, 30)
    assert found.slower == 1.5
    assert report(shadowed, limit=1).pairs == 1


@pytest.mark.parametrize("one_event", [True, False])
def test_redacted_answers_are_paired_by_ids(
    aws: AwsServer, bundles: tuple[Bundle, ...], one_event: bool
) -> None:
    deploy(bundles[0])
    made = deploy(bundles[1], rollout={"shadow": 100}, capture={"redact": True})
    aws.capture.one_event = one_event
    ask(made, 2)
    aws.capture.deliver()
    (text,) = [
        aws.s3.get_object(bucket, key).value.decode()
        for bucket, keys in aws.keys.items()
        for key in keys
        if key.startswith("onnxferry-captured/") and f"{NAME}/shadow-" in key
    ]
    assert "number" not in text
    found = report(made)
    assert (found.shadow.captured, found.pairs) == (3, 3 * one_event)  # and the golden request
    assert any("not captured" in note for note in found.notes)


def test_captured_errors_are_told(aws: AwsServer, shadowed: SageMakerCloud) -> None:
    for _ in range(2):
        shadowed.invoke(Request(b'{"inputs": 1}'), 60)
    aws.capture.deliver()
    found = report(shadowed)
    assert (found.pairs, found.same, found.shadow.errors) == (1, 1, 1)
    assert found.shadow.metrics
    assert found.shadow.metrics.refused == 1


def test_only_what_was_captured_since_a_time_is_read(
    aws: AwsServer, shadowed: SageMakerCloud
) -> None:
    ask(shadowed, 2)
    aws.capture.deliver()
    later = datetime.now(timezone.utc) + timedelta(hours=2)
    assert shadowed.shadow_traffic(later, 9).shadow.answers == ()
    assert shadowed.shadow_traffic(later - timedelta(hours=4), 9).shadow.answers


def test_a_file_of_something_else_is_named(aws: AwsServer, shadowed: SageMakerCloud) -> None:
    ask(shadowed, 2)
    aws.capture.deliver()
    ((bucket, keys),) = aws.keys.items()
    key = next(key for key in keys if "/shadow-" in key)
    aws.s3.put_object(bucket, key, b'{"a": 1}\n')
    with pytest.raises(CloudError, match=r"\.jsonl, line 1: no captured request"):
        report(shadowed)


def test_without_a_shadow_there_is_nothing_to_compare(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    with pytest.raises(NotFound, match=r"rollout\.shadow=20"):
        cloud().shadow_traffic(None, 1)
    with pytest.raises(NotFound, match=r"rollout\.shadow=20"):
        deploy(bundles[0], capture={}).shadow_traffic(None, 1)


def test_the_role_may_put_what_is_captured_and_no_more(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], capture={"output": "s3://elsewhere/kept/"})
    aws.s3.create_bucket("elsewhere", REGION)
    ask(made)
    aws.capture.deliver()
    assert aws.capture.lost == []
    assert all(key.startswith(f"kept/{NAME}/AllTraffic/") for key in aws.keys["elsewhere"])
    (document,) = aws.roles[f"onnxferry-{NAME}-{REGION}"].policies.values()
    puts = [s for s in json.loads(document)["Statement"] if s["Action"] == ["s3:PutObject"]]
    assert [s["Resource"] for s in puts] == ["arn:aws:s3:::elsewhere/kept/*"]


def test_the_first_version_takes_all_requests_and_the_plan_says_so(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    planned = cloud(**SHADOWED).plan_deploy(bundles[0])
    assert any("Nothing serves yet" in note for note in planned.summary.notes)
    assert not deploy(bundles[0], **SHADOWED).status().details.get("shadow")


def test_the_same_version_is_no_shadow_of_itself(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    made = deploy(bundles[0], **SHADOWED)
    assert "shadow" not in made.status().details
    assert aws.sagemaker.endpoint_configs[aws.endpoints[NAME].config].data_capture_config


def test_a_shadow_that_does_not_come_up_is_taken_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    from tests.fakes.aws.endpoints import Trouble

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


def test_each_change_of_the_plan_is_one_of_what_is_ours(
    shadowed: SageMakerCloud, bundles: tuple[Bundle, ...]
) -> None:
    planned = cloud(capture={}).plan_deploy(bundles[2])
    (update,) = [s for s in planned.destructive if s.action is Action.UPDATE]
    assert update.name == NAME
