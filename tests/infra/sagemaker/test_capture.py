"""Captured requests and answers: where they go, who may put them there, and what `compare` makes of
them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra import sagemaker
from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.comparison import AnswerRules, ComparisonReport, compare
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.sagemaker import captured
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.aws import REGION, AwsServer
from tests.infra.sagemaker.conftest import NAME, cloud, deploy, model
from tests.infra.sagemaker.test_shadow import CAPTURED

QA = AnswerRules.of(ModelSpec("m", "question-answering"))


def shadowed(aws: AwsServer, bundles: tuple[Bundle, ...], **capture: Any) -> SageMakerCloud:
    """The second version as a shadow of the first, which gets half of the requests. What the golden
    request left is away."""
    deploy(bundles[0])
    made = deploy(bundles[1], rollout={"shadow": 50}, capture=capture)
    made.invoke(Request(b"{}"), 60)  # each second request is copied
    aws.capture.waiting.clear()
    return made


def measured(aws: AwsServer, shadow_ms: float) -> None:
    """CloudWatch's metrics of six requests, half of which were copied."""
    now = datetime.now(timezone.utc)
    for name, fleet in aws.endpoints[NAME].fleets.items():
        of, times = {"EndpointName": NAME, "VariantName": name}, 3 if fleet.shadow else 6
        latency = 1000 * (shadow_ms if fleet.shadow else 20.0)
        aws.metrics.put("Invocations", now, *[1.0] * times, **of)
        aws.metrics.put("Invocation4XXErrors", now, 1.0, **of)
        aws.metrics.put("ModelLatency", now, *[latency] * times, **of)


def later(made: SageMakerCloud, hours: float = 0.1) -> SageMakerCloud:
    return replace(made, today=lambda: datetime.now(timezone.utc) + timedelta(hours=hours))


def ask(made: SageMakerCloud, times: int = 1) -> None:
    for i in range(times):
        question = {**tiny.QUESTION, "question": f"Who is number {i}?"}
        made.invoke(Request(json.dumps({"inputs": question}).encode()), 60)


def report(made: SageMakerCloud, limit: int = 1000) -> ComparisonReport:
    return compare(made.shadow_traffic(None, limit), QA)


def test_what_is_captured_of_both_is_compared(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = later(shadowed(aws, bundles))
    measured(aws, 30)
    ask(made, 4)
    made.invoke(Request(b'{"inputs": 1}'), 60)
    made.invoke(Request(b'{"inputs": 1}'), 60)
    assert report(made).pairs == 0  # it takes some minutes to come
    aws.capture.deliver()
    found = report(made)
    assert (found.serving.version, found.shadow.version) == (bundles[0].version, bundles[1].version)
    assert (found.shadow.captured, found.pairs, found.percent) == (3, 3, 50)
    assert (found.serving.errors, found.shadow.errors) == (1, 1)
    assert found.serving.metrics
    assert found.shadow.metrics
    assert (found.serving.metrics.requests, found.shadow.metrics.requests) == (6, 3)
    assert (found.shadow.metrics.refused, found.shadow.metrics.p95_ms, found.slower) == (1, 30, 1.5)
    assert report(made, limit=1).pairs == 1
    after = datetime.now(timezone.utc) + timedelta(hours=2)
    assert made.shadow_traffic(after, 9).shadow.answers == ()
    assert len(made.shadow_traffic(after - timedelta(hours=4), 9).shadow.answers) == 3


def test_a_file_of_something_else_is_named(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = shadowed(aws, bundles)
    ask(made, 2)
    aws.capture.deliver()
    ((bucket, keys),) = aws.keys.items()
    key = next(key for key in keys if "/shadow-" in key)
    aws.s3.put_object(bucket, key, b'{"a": 1}\n')
    with pytest.raises(CloudError, match=r"\.jsonl, line 1: no captured request"):
        report(made)


def test_redacted_answers_are_paired_by_ids_alone(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = shadowed(aws, bundles, redact=True)
    for one_event, pairs in ((False, 0), (True, 1)):
        aws.capture.one_event = one_event
        ask(made, 2)
        aws.capture.deliver()
        found = report(made)
        assert (found.shadow.captured, found.pairs) == (1 + one_event, pairs)
    assert any("not captured" in note for note in found.notes)
    kept = [
        aws.s3.get_object(bucket, key).value
        for bucket, keys in aws.keys.items()
        for key in keys
        if key.startswith("onnxferry-captured/")
    ]
    assert kept
    assert not any(b"number" in text for text in kept)


def test_deletion_leaves_only_what_was_captured(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], capture={})
    ask(made)
    aws.capture.deliver()
    planned = made.plan_delete()
    assert f"What was captured in {CAPTURED}/{NAME}/ stays" in plan_text(planned)
    apply(planned, made)
    assert (dict(aws.endpoints), dict(aws.sagemaker.endpoint_configs), aws.roles) == ({}, {}, {})
    (keys,) = aws.keys.values()
    assert keys
    assert all(key.startswith("onnxferry-captured/") for key in keys)


def test_the_role_may_put_what_is_captured_and_no_more(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.s3.create_bucket("elsewhere", REGION)
    made = deploy(bundles[0], capture={"output": "s3://elsewhere/kept/"}, kms_key="alias/mine")
    ask(made)
    aws.capture.deliver()
    assert aws.capture.lost == []
    assert aws.keys["elsewhere"]
    assert all(key.startswith(f"kept/{NAME}/AllTraffic/") for key in aws.keys["elsewhere"])
    documents = aws.roles[f"onnxferry-{NAME}-{REGION}"].policies.values()
    statements = [s for text in documents for s in json.loads(text)["Statement"]]
    puts = [s for s in statements if "s3:PutObject" in s["Action"]]
    assert [s["Resource"] for s in puts] == ["arn:aws:s3:::elsewhere/kept/*"]
    config = aws.sagemaker.endpoint_configs[aws.endpoints[NAME].config]
    assert config.data_capture_config["KmsKeyId"] == "alias/mine"
    with pytest.raises(NotFound, match=r"rollout\.shadow=20"):
        made.shadow_traffic(None, 1)


def test_without_an_endpoint_there_is_nothing_to_compare(aws: AwsServer) -> None:
    with pytest.raises(NotFound, match=r"rollout\.shadow=20"):
        cloud().shadow_traffic(None, 1)


RECORD = {
    "captureData": {
        "endpointInput": {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": '{"inputs": ["a", "b"]}',
            "encoding": "JSON",
        },
        "endpointOutput": {
            "observedContentType": "image/png",
            "mode": "OUTPUT",
            "data": "AAEC",
            "encoding": "BASE64",
        },
    },
    "eventMetadata": {
        "eventId": "e",
        "inferenceId": "mine",
        "inferenceTime": "2026-11-26T10:00:00Z",
    },
    "eventVersion": "0",
}


def test_a_record_is_read_as_sagemaker_writes_it() -> None:
    found = captured.record(RECORD)
    assert (found.ids, found.items, found.body) == (("mine", "e"), 2, b"\0\1\2")
    assert (found.shown, found.content_type) == ('{"inputs": ["a", "b"]}', "image/png")
    alone = captured.record({"captureData": {}, "eventMetadata": RECORD["eventMetadata"]})
    assert (alone.request, alone.items, alone.body) == ("", None, None)


def run(*options: str) -> tuple[int, str]:
    words = ("compare", "--target", "sagemaker", "--name", NAME, *options)
    done = CliRunner().invoke(cli.cli, words)
    return done.exit_code, " ".join(done.output.split())


def test_on_the_command_line(
    aws: AwsServer, bundles: tuple[Bundle, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, task = later(shadowed(aws, bundles)), str(model(tmp_path / "qa", 30))
    monkeypatch.setattr(sagemaker, "connect", lambda config, name: made)
    monkeypatch.chdir(tmp_path)
    measured(aws, 30)
    ask(made, 4)
    code, text = run()
    assert (code, "nothing to compare yet" in text) == (1, True)
    aws.capture.deliver()
    code, text = run("--model", task)
    assert (code, "2 of 2 agree by question-answering (100.0%)" in text) == (0, True)
    assert bundles[1].version in text
    code, text = run("--tolerance", "0.5", "--hours", "1")
    assert (code, "give --model" in text, "2 of 2 answers are the same within 0.5" in text) == (
        (0, True, True)
    )
    code, text = run("--model", task, "--min-agreement", "1", "--max-slower", "1.2")
    assert (code, "1.50 times the live one, more than 1.2" in text) == (1, True)
    code, text = run("--output", "json")
    assert (code, json.loads(text)["shadow"]["captured"]) == (0, 2)
