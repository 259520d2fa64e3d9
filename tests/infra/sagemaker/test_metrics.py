"""`status` tells what CloudWatch counted in the last hour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import pytest
from click.testing import CliRunner

from onnxferry.cli import cli
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.infra.sagemaker import metrics, state
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, NOW, cloud, deploy

VARIANT = {"EndpointName": NAME, "VariantName": "AllTraffic"}
AGO = {minutes: NOW - timedelta(minutes=minutes) for minutes in (0, 1, 30, 59, 61)}


def busy(aws: AwsServer, variant: str = "AllTraffic") -> None:
    """A hundred requests in the last hour, of 1 to 100 ms, and some before."""
    of = {**VARIANT, "VariantName": variant}
    aws.metrics.put("Invocations", AGO[59], *[1.0] * 60, **of)
    aws.metrics.put("Invocations", AGO[1], *[1.0] * 40, **of)
    aws.metrics.put("Invocations", AGO[61], *[1.0] * 7, **of)
    aws.metrics.put("ModelLatency", AGO[30], *[n * 1000.0 for n in range(1, 101)], **of)
    aws.metrics.put("ModelLatency", AGO[61], *[9e6] * 7, **of)
    aws.metrics.put("Invocation4XXErrors", AGO[30], *[1.0] * 3, *[0.0] * 97, **of)
    aws.metrics.put("Invocation5XXErrors", AGO[30], 1.0, *[0.0] * 99, **of)


def test_the_last_hour(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0])
    busy(aws)
    assert made.last_hour() == {"last hour": RequestMetrics(100, 3, 1, 50.0, 95.0)}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (RequestMetrics(0), "no requests"),
        (RequestMetrics(0, waiting=0), "no requests, 0 waiting"),
        (
            RequestMetrics(1234, 0, 0, 12.34, 250.06),
            "1,234 requests, no errors, latency p50 12.34 ms, p95 250.1 ms",
        ),
        (RequestMetrics(1, 1), "1 request, 1 error (100.0%): 1 of 4xx, 0 of 5xx"),
        (
            RequestMetrics(100, 3, 1, 50.0, 95.0),
            "100 requests, 4 errors (4.0%): 3 of 4xx, 1 of 5xx, latency p50 50 ms, p95 95 ms",
        ),
    ],
)
def test_in_words(found: RequestMetrics, said: str) -> None:
    assert str(found) == said


def test_nothing_served_nothing_counted(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    assert cloud().last_hour() == {}
    assert deploy(bundles[0]).last_hour() == {"last hour": RequestMetrics(0)}
    aws.endpoints[NAME].state, aws.endpoints[NAME].looks = "Creating", 5
    assert cloud().last_hour() == {}


def config(**more: object) -> dict[str, object]:
    return {"ProductionVariants": [{"VariantName": "AllTraffic"}], **more}


def described(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, found: dict[str, object]
) -> dict[str, object]:
    """What is told of an endpoint of this configuration."""
    monkeypatch.setattr(state, "described_config", lambda clients, config: found)
    return dict(metrics.last_hour(cloud().clients, NAME, "c", NOW))


def test_each_variant_has_a_line(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(aws)
    found = described(aws, monkeypatch, config(ShadowProductionVariants=[{"VariantName": "next"}]))
    counted = {"last hour, AllTraffic": RequestMetrics(100, 3, 1, 50.0, 95.0)}
    assert found == {**counted, "last hour, next": RequestMetrics(0)}


@pytest.mark.parametrize("backlog", [(), (0.0, 7.0)])
def test_an_asynchronous_endpoint_has_a_queue(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, backlog: Sequence[float]
) -> None:
    aws.metrics.put("ModelLatency", AGO[30], 2000.0, 4000.0, **VARIANT)
    aws.metrics.put("ApproximateBacklogSize", AGO[1], *backlog, EndpointName=NAME)
    aws.metrics.put("ApproximateBacklogSize", AGO[30], 99.0, EndpointName=NAME)
    found = described(aws, monkeypatch, config(AsyncInferenceConfig={}))
    waiting = 7 if backlog else None
    assert found == {"last hour": RequestMetrics(2, 0, 0, 2.0, 4.0, waiting)}


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            Refusal(
                "AccessDenied",
                "User: x is not authorized to perform: cloudwatch:GetMetricStatistics on: *",
                403,
            ),
            "not known: cloudwatch:GetMetricStatistics is missing",
        ),
        (Refusal("InternalServiceError", "busy", 500), "not known: AWS eu-west-1, metric Invoc"),
    ],
)
def test_what_cloudwatch_does_not_tell(
    aws: AwsServer, bundles: tuple[Bundle, ...], refusal: Refusal, said: str
) -> None:
    made = deploy(bundles[0])
    aws.refusals["GetMetricStatistics"] = refusal
    (told,) = made.last_hour().values()
    assert told.startswith(said)


def test_the_command_shows_it(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    words = ["status", "--target", "sagemaker", "--name", NAME, "--set", f"region={REGION}"]
    shown = CliRunner().invoke(cli, words)
    assert "no requests" in shown.stdout, shown.output
    data = json.loads(CliRunner().invoke(cli, [*words, "--output", "json"]).stdout)
    assert data["details"]["last hour"] == asdict(RequestMetrics(0))
