"""How long Azure waits for a container and for an answer: the package's own figures, widened in
coarse steps by its rehearsal, and what deploy.toml says over both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.azureml import request_limits
from onnxferry.infra.azureml.desired import DesiredState, desired_state
from onnxferry.infra.cloud import Bundle
from onnxferry.scripts.rehearse.record import FILE, RehearsalRecord
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.infra.azureml.conftest import config, connected, deploy
from tests.infra.azureml.test_drift import serving

QUICK = RehearsalRecord("", "3.12", "azureml", 3.0, 20, 30, 15, 300, 2, "x")


@pytest.fixture
def rehearsal(versions: dict[str, Bundle]) -> Iterator[Path]:
    """The file beside the package "a"."""
    path = versions["a"].package.path.parent / FILE
    yield path
    path.unlink(missing_ok=True)


def rehearsed(path: Path, bundle: Bundle, **figures: Any) -> None:
    found = replace(QUICK, sha256=bundle.package.sha256, **figures)
    path.write_text(json.dumps(asdict(found)))


def desired(bundle: Bundle, **settings: Any) -> DesiredState:
    table = config(**settings).azureml
    assert table
    return desired_state(bundle, table)


def test_two_rehearsals_of_a_quick_package_change_nothing(
    versions: dict[str, Bundle], rehearsal: Path
) -> None:
    before = desired(versions["a"]).settings
    for seconds in (2.0, 59.0):
        rehearsed(rehearsal, versions["a"], start_seconds=seconds, latency_p95_ms=seconds * 70)
        assert desired(versions["a"]).settings == before


@pytest.mark.parametrize(("first", "second", "minutes"), [(61.0, 119.0, 10), (700.0, 9000.0, 60)])
def test_a_slow_start_is_waited_for(
    versions: dict[str, Bundle], rehearsal: Path, first: float, second: float, minutes: int
) -> None:
    found = []
    for seconds in (first, second):
        rehearsed(rehearsal, versions["a"], start_seconds=seconds)
        found.append(desired(versions["a"]))
    assert found[0] == found[1]
    settings = found[0].settings
    for name in ("liveness_probe", "readiness_probe"):
        probe = settings[name]
        waits = probe["initial_delay"] + probe["period"] * probe["failure_threshold"]
        assert waits == minutes * 60
    assert settings["readiness_probe"]["initial_delay"] == 30  # ready as soon as it is
    assert settings["liveness_probe"]["failure_threshold"] == 30  # dead after 5 minutes


def test_slow_answers_are_waited_for(versions: dict[str, Bundle], rehearsal: Path) -> None:
    rehearsed(rehearsal, versions["a"], latency_p95_ms=4600)
    limits = desired(versions["a"]).settings["request_settings"]
    assert limits == {"request_timeout_ms": 180000, "max_concurrent_requests_per_instance": 8}


def test_the_rehearsal_of_another_package_says_nothing(
    versions: dict[str, Bundle], rehearsal: Path
) -> None:
    before = desired(versions["a"])
    rehearsed(rehearsal, versions["b"], start_seconds=500.0, latency_p95_ms=9000)
    assert desired(versions["a"]) == before


def test_what_deploy_toml_says_wins_and_threads_match(
    versions: dict[str, Bundle], rehearsal: Path, ml: MachineLearning, azure: AzureFake
) -> None:
    rehearsed(rehearsal, versions["a"], start_seconds=500.0, latency_p95_ms=9000)
    asked = {"timeout_seconds": 12.5, "concurrency": 3, "queue_seconds": 2, "start_minutes": 7}
    cloud = connected(requests=asked, environment={"ONNXFERRY_ENGINE_THREADS": "1"})
    deploy(cloud, versions["a"])
    said = serving(azure)["properties"]
    assert said["requestSettings"] == {
        "requestTimeout": "PT12.5S",
        "maxConcurrentRequestsPerInstance": 3,
        "maxQueueWait": "PT2S",
    }
    assert said["environmentVariables"] == {
        "WORKER_COUNT": "1",
        "GUNICORN_CMD_ARGS": "--threads=3",
        "ONNXFERRY_ENGINE_THREADS": "1",
    }
    assert said["livenessProbe"]["initialDelay"] == "PT2M"
    assert not cloud.plan_deploy(versions["a"]).changes
    said["livenessProbe"]["initialDelay"] = "PT10S"
    assert [str(s) for s in cloud.plan_deploy(versions["a"]).changes] == [
        f"update deployment {serving(azure)['name']}"
    ]


def test_the_last_step_is_the_most_that_azure_takes() -> None:
    table = config().azureml
    assert table
    slow = replace(QUICK, start_seconds=1e6, latency_p95_ms=1e6)
    limits = request_limits.limits(table, slow)
    assert limits["request_settings"] == {"request_timeout_ms": 180_000}
    assert limits["liveness_probe"]["initial_delay"] == 3300
