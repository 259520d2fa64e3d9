"""Every way of serving: what it needs, its whole life, and what moves from one to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.costs import USED
from onnxferry.infra.errors import InvokeFailed, NotHealthy, QuotaExceeded, Refused, WrongAnswer
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.sending import sending
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.endpoints import Trouble
from tests.fakes.aws.quotas import SERVERLESS as QUOTA
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy
from tests.infra.sagemaker.test_flow import TRUST
from tests.infra.sagemaker.test_health import wrong_host
from tests.infra.sagemaker.test_private import given

BUCKET = f"onnxferry-{ACCOUNT}-{REGION}"
SERVERLESS = {"mode": "serverless", "memory_mb": 1024, "max_concurrency": 5}
ASYNC = {"mode": "async"}
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:answers"
VARIANTS = {"variants": {"large": {"instance_type": "ml.m5.xlarge", "weight": 3.0}}}
MODES = [{}, VARIANTS, SERVERLESS, ASYNC]


def config(aws: AwsServer) -> Any:
    """The configuration that serves."""
    return aws.sagemaker.endpoint_configs[aws.endpoints[NAME].config]


def roll_back(**settings: Any) -> None:
    made = cloud(**settings)
    apply(made.plan_rollback(), made)


@pytest.mark.parametrize("mode", MODES, ids=["realtime", "variants", "serverless", "async"])
def test_the_whole_life_in_each_mode(
    aws: AwsServer, bundles: tuple[Bundle, ...], mode: dict[str, Any]
) -> None:
    deploy(bundles[0], **mode)
    assert cloud(**mode).plan_deploy(bundles[0]).changes == ()
    made = deploy(bundles[1], **mode)
    assert [(c.endpoint, c.proved) for c in aws.endpoints.changes][-1] == (NAME, True)
    roll_back(**mode)
    assert made.status().version == bundles[0].version
    ask = made.invoke_async if mode is ASYNC else made.invoke
    assert json.loads(ask(QUESTION, 60).body)["answer"] == "Rebecca"
    for plan in (made.plan_delete_unproved(), made.plan_delete()):
        apply(plan, made)
    assert (dict(aws.endpoints), aws.keys, aws.roles) == ({}, {}, {})
    assert (dict(aws.sagemaker._models), dict(aws.sagemaker.endpoint_configs)) == ({}, {})


def test_variants_share_the_requests_by_weight(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], **VARIANTS)
    assert made.status().details["instances"] == "1 x ml.m5.large and 1 x ml.m5.xlarge"
    served = [made.invoke(QUESTION, 60).served_by.split()[0] for _ in range(8)]
    assert (served.count("large"), served.count("AllTraffic")) == (6, 2)
    assert len(aws.sagemaker._models) == 1
    plan = cloud(**VARIANTS).plan_deploy(bundles[1])
    assert plan.summary.peak == "2 x ml.m5.large and 2 x ml.m5.xlarge"


def test_numbers_and_weights_that_somebody_has_set_stay(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **VARIANTS)
    aws.endpoints[NAME].scale("large", 3)
    sagemaker = boto3.client("sagemaker", region_name=REGION)
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=NAME,
        DesiredWeightsAndCapacities=[{"VariantName": "large", "DesiredWeight": 9.0}],
    )
    aws.endpoints.finish()
    deploy(bundles[1], **VARIANTS)
    now = aws.endpoints[NAME].fleets["large"]
    assert (now.count, now.weight) == (3, 9.0)
    changed = {"instance_type": "ml.m5.xlarge", "weight": 2.0}
    deploy(bundles[1], variants={"large": changed})
    now = aws.endpoints[NAME].fleets["large"]
    assert (now.count, now.weight) == (3, 2.0)


def test_a_variant_comes_and_goes_at_once(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    """SageMaker takes no blue/green policy of ours where the variants are others."""
    deploy(bundles[0])
    deploy(bundles[0], **VARIANTS)
    assert set(aws.endpoints[NAME].fleets) == {"AllTraffic", "large"}
    deploy(bundles[0])
    assert set(aws.endpoints[NAME].fleets) == {"AllTraffic"}


def test_serverless_has_memory_and_no_instance(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    wanted = {**SERVERLESS, "provisioned_concurrency": 2}
    plan = cloud(**wanted).plan_deploy(bundles[0])
    containers = "at most 5 serverless containers of 1024 MB, 2 always ready"
    text = plan_text(plan)
    assert f"will serve on {containers}." in text
    assert f"A{containers[1:]} run at a time" in text
    assert f"endpoint {NAME} (billed by what is used, and by what is kept ready)" in text
    made = deploy(bundles[0], **wanted)
    (variant,) = config(aws).production_variants
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    assert (variant["ServerlessConfig"], "InstanceType" in variant) == (sizes, False)
    assert made.status().details["instances"] == containers
    assert aws.endpoints.most == 0


def test_serverless_leaves_out_what_it_does_not_have(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **SERVERLESS, kms_key="alias/ours")
    (model,) = aws.sagemaker._models.values()
    assert (model.enable_network_isolation, config(aws).kms_key_id) == (False, None)


def test_a_quota_of_concurrency_is_asked_before_anything_is_made(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **SERVERLESS)
    aws.endpoints.quotas[QUOTA] = 8
    made = cloud(**SERVERLESS)
    with pytest.raises(QuotaExceeded, match=r"this needs 10 at a time.*max_concurrency"):
        execute(lambda: made.plan_deploy(bundles[1]), made, Consent(yes=True, terminal=False))


_MOVES = [({}, SERVERLESS), (ASYNC, {}), ({}, ASYNC), (ASYNC, SERVERLESS), (SERVERLESS, ASYNC)]
MOVES = [pytest.param(*m, marks=[pytest.mark.series] * (i > 1)) for i, m in enumerate(_MOVES)]


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_a_move_that_sagemaker_does_not_make_is_refused_in_the_plan(
    aws: AwsServer, bundles: tuple[Bundle, ...], before: dict[str, Any], after: dict[str, Any]
) -> None:
    deploy(bundles[0], **before)
    aws.begin()
    with pytest.raises(Refused, match=r"cannot be updated to .*another --name"):
        cloud(**after).plan_deploy(bundles[1])
    assert all(call.reads for call in aws.calls)
    made = cloud(**before)
    apply(made.plan_delete(), made)
    deploy(bundles[1], **after)
    assert cloud().status().version == bundles[1].version


def test_serverless_comes_to_instances_for_good(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **SERVERLESS)
    plan = cloud().plan_deploy(bundles[1])
    assert any("this is final, and rollback will refuse" in note for note in plan.summary.notes)
    deploy(bundles[1])
    assert cloud().status().details["instances"] == "1 x ml.m5.large"
    with pytest.raises(Refused, match="cannot be updated to"):
        cloud().plan_rollback()


def test_serverless_is_made_again_where_its_instances_do_not_prove_themselves(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    """SageMaker would refuse to take the endpoint back."""
    deploy(bundles[0], **SERVERLESS)
    before = aws.endpoints[NAME].config
    made = cloud()
    plan = made.plan_deploy(bundles[1])
    promote = next(step for step in plan.steps if step.operation == "promote")
    for step in plan.steps[: plan.steps.index(promote) + 1]:
        if step.operation:
            made.execute(step, lambda text: None)
    assert promote.restore is not None
    for _ in range(2):
        made.execute(promote.restore, lambda text: None)
    found = aws.endpoints[NAME]
    assert (found.config, found.state, made.status().version) == (
        before,
        "InService",
        bundles[0].version,
    )


def test_serverless_that_does_not_come_to_instances_serves_on(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **SERVERLESS)
    before = aws.endpoints[NAME].config
    aws.endpoints.trouble[NAME] = Trouble("no health")
    with pytest.raises(NotHealthy, match="no health"):
        deploy(bundles[1])
    assert (aws.endpoints[NAME].config, set(aws.endpoints)) == (before, {NAME})


def test_what_is_left_of_serverless_is_billed_by_what_is_used(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.hosts = lambda folder: wrong_host(folder, 30, good=0)
    made = cloud(**SERVERLESS)
    with pytest.raises(WrongAnswer, match=rf"endpoint {NAME} \({USED}\)"):
        apply(made.plan_deploy(bundles[0]), made, terms=Terms(keep_failed=True))
    assert ("endpoint", NAME, f"InService, not proved, {USED}") in made.status().resources


def test_async_puts_answers_beside_the_packages(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], **ASYNC, success_topic=TOPIC, concurrency=3)
    asked = config(aws).async_inference_config
    assert asked["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 3}
    assert asked["OutputConfig"]["NotificationConfig"] == {"SuccessTopic": TOPIC}
    reply = made.invoke_async(QUESTION, 60)
    assert (reply.status, json.loads(reply.body)["answer"]) == (200, "Rebecca")
    assert reply.served_by == bundles[0].version
    assert not [key for key in aws.keys[BUCKET] if "/async/" in key]
    assert [topic for topic, _ in aws.invocations.queue.messages] == [TOPIC] * 2


def test_async_answers_go_where_they_are_wanted(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    place = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    s3.create_bucket(Bucket="theirs", **place)
    s3.put_object(Bucket="theirs", Key="in/q.json", Body=QUESTION.body)
    to = {"output": "s3://theirs/out/", "inputs": ["s3://theirs/in/"]}
    made = deploy(bundles[0], **ASYNC, **to)
    assert aws.keys["theirs"] == ["in/q.json"]
    reply = made.invoke_async(Request(b""), 60, "s3://theirs/in/q.json")
    assert json.loads(reply.body)["answer"] == "Rebecca"
    (answer, _) = sorted(aws.keys["theirs"], reverse=True)
    assert answer.startswith("out/")
    apply(made.plan_delete(), made)
    assert len(aws.keys["theirs"]) == 2


def test_the_plan_says_where_async_answers_go(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    wanted = {**ASYNC, "output": "s3://mine/out/", "success_topic": TOPIC}
    text = plan_text(cloud(**wanted).plan_deploy(bundles[0]))
    assert "It answers later, into s3://mine/out/, failures into s3://mine/out/failures/." in text
    planned = cloud(**wanted, role=given(TRUST)).plan_deploy(bundles[0])
    (needed,) = [note for note in planned.summary.notes if "needs for that: " in note]
    assert "s3:PutObject on arn:aws:s3:::mine/out/*" in needed
    assert f"sns:Publish on {TOPIC}" in needed


def test_async_refusals_are_replies(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], **ASYNC)
    reply = made.invoke_async(Request(b'{"inputs": 3}'), 60)
    assert reply.status == 400
    assert "inputs" in json.loads(reply.body)["error"]["message"]
    reply = made.invoke_async(Request(b""), 60, f"s3://{BUCKET}/none")
    assert (reply.status, reply.body[:18]) == (424, b"Unable to get data")


def test_no_async_answer_is_told_with_where_it_will_be(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], **ASYNC)
    aws.endpoints[NAME].count = 0
    with pytest.raises(InvokeFailed, match=r"within 60 s; the answer will be at s3://.*/answers/"):
        made.invoke_async(QUESTION, 60)
    (left,) = [key for key in aws.keys[BUCKET] if "/async/" in key]
    where = f"s3://{BUCKET}/{left.partition('requests/')[0]}"
    said = "1 requests and answers of invoke --async"
    assert ("objects", where, f"{said} that nobody took") in made.status().resources
    kept = plan_text(made.plan_delete())
    assert f"{where} stays: {said}" in kept
    assert "not onnxferry's" not in kept


def test_an_async_endpoint_without_instances_is_updated_with_one(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **ASYNC)
    aws.endpoints[NAME].count = 0
    deploy(bundles[1], **ASYNC)
    assert aws.endpoints[NAME].count == 1


def test_a_wrong_async_answer_goes_no_further_than_the_candidate(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], **ASYNC)
    before, real = aws.endpoints[NAME].config, aws.hosts

    def wrong(folder: Any) -> Any:
        return lambda request: real(folder)(Request(b'{"inputs": "nothing"}'))

    aws.hosts = wrong
    with pytest.raises((NotHealthy, WrongAnswer)):
        deploy(bundles[1], **ASYNC)
    assert (aws.endpoints[NAME].config, set(aws.endpoints)) == (before, {NAME})


@pytest.mark.parametrize(("mode", "advice"), [({}, "without --async"), (ASYNC, "with --async")])
def test_asked_otherwise_it_says_how(
    aws: AwsServer, bundles: tuple[Bundle, ...], mode: dict[str, Any], advice: str
) -> None:
    made = deploy(bundles[0], **mode)
    ask = made.invoke if mode else made.invoke_async
    with pytest.raises(Refused, match=f"inference type(?s:.*){advice}"):
        ask(QUESTION, 60)
    assert not [key for key in aws.keys[BUCKET] if "/async/requests/" in key]


def test_async_on_the_command_line(
    aws: AwsServer, bundles: tuple[Bundle, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(bundles[0], **ASYNC)
    monkeypatch.setattr("onnxferry.infra.sagemaker.connect", lambda config, name: cloud(**ASYNC))
    file = tmp_path / "deploy.toml"
    file.write_text(f'[sagemaker]\nregion = "{REGION}"\n', encoding="utf-8")
    common = ["invoke", "--target", "sagemaker", "--name", NAME, "--config", str(file)]

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.cli, [*common, *words])
        return done.exit_code, done.output

    code, said = run("--async", "--text", "x", "--output", "json")
    assert (code, json.loads(said)["status"]) == (1, 400)
    (tmp_path / "q.json").write_bytes(QUESTION.body)
    code, said = run("--async", "--input", str(tmp_path / "q.json"), "--output", "json")
    assert (code, json.loads(said)["answer"]["answer"]) == (0, "Rebecca")
    for words, message in (
        (("--input", "s3://theirs/q.json"), "sent by reference with --async only"),
        (("--text", "x", "--timeout", "300"), "without --async is at most 230 s; got 300"),
        (("--async", "--input", "s3://theirs/q", "--text", "x"), "give one of them"),
        (("--async",), "give one of them"),
    ):
        code, said = run(*words)
        assert (code, message in " ".join(said.split())) == (2, True), said


def test_other_targets_say_that_they_have_no_such_requests() -> None:
    given = dict.fromkeys(("source", "text", "content_type", "accept"))
    ask = sending(dict(given, text="x"), None, queued=True)
    with pytest.raises(UsageError, match="azureml has no endpoints that answer later"):
        ask(cast(OnlineEndpoint, object()), "azureml")
