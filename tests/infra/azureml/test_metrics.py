"""What Azure Monitor is asked of an endpoint's requests, against a fake that counts what its
endpoints answered."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from onnxferry.infra.azureml import metrics
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.clients.azure_monitor import Monitor, Span
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotAllowed, NotFound, Refused
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.monitor_metrics import Scored
from tests.infra.azureml.conftest import connected, deploy

ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


def at(azure: AzureFake, *, ago: float = 3600) -> Span:
    """From that many seconds ago to now."""
    now = datetime.fromtimestamp(azure.clock.now(), timezone.utc)
    return now - timedelta(seconds=ago), now + timedelta(minutes=1)


@pytest.fixture
def served(ml: MachineLearning, versions: dict[str, Bundle]) -> AzureMLCloud:
    """An endpoint that one request has come to, and refused one."""
    cloud = connected()
    assert isinstance(cloud, AzureMLCloud)
    deploy(cloud, versions["a"])
    ml.monitor.scored.clear()
    for request in (ASK, Request(b"not JSON")):
        cloud.invoke(request, 10)
    return cloud


def test_counts_what_was_answered(
    served: AzureMLCloud, ml: MachineLearning, azure: AzureFake
) -> None:
    names, monitor = served.names, served.clients.monitor
    (name,) = ml.routed["squad"]
    found = metrics.of_endpoint(monitor, names, at(azure))
    assert found == RequestMetrics(2, refused=1, p50_ms=20, p95_ms=20)  # 400 within a 424
    assert metrics.of_deployment(monitor, names, name, at(azure)) == found
    assert metrics.of_deployment(monitor, names, "other", at(azure)) == RequestMetrics(0)
    own = Scored(azure.clock.now(), names.endpoint_id.lower(), name, 200, "200", 220)
    for status, by_model in ((500, ""), (408, ""), (429, ""), (424, "503"), (424, ""), (404, "")):
        ml.monitor.scored.append(Scored(*(own.at, own.endpoint, name, status, by_model, 220)))
    found = metrics.of_deployment(monitor, names, name, at(azure))
    assert (found.requests, found.refused, found.failed) == (8, 2, 5)
    assert found.p95_ms == 220
    ml.monitor.scored += [own] * 20 + [Scored(own.at - 600, own.endpoint, "b", 200, "200", 20)]
    of_both = metrics.of_endpoint(monitor, names, at(azure))
    assert of_both.requests == 29
    assert of_both.p95_ms == 120  # the mean of two minutes


def test_what_comes_late_is_not_there_yet(
    served: AzureMLCloud, ml: MachineLearning, azure: AzureFake
) -> None:
    names, monitor, ml.monitor.lag = served.names, served.clients.monitor, 120
    assert metrics.of_endpoint(monitor, names, at(azure)) == RequestMetrics(0)
    azure.clock.ahead += 121
    assert metrics.of_endpoint(monitor, names, at(azure)).requests == 2


def test_the_time_is_azures(served: AzureMLCloud, azure: AzureFake) -> None:
    azure.clock.ahead = 7200
    now = served.clients.monitor.now(served.names.endpoint_id, metrics.REQUESTS)
    assert abs(now.timestamp() - azure.clock.now()) < 60


def test_the_fake_refuses_what_azure_does_not_know(served: AzureMLCloud, azure: AzureFake) -> None:
    wrong = {
        "aggregation": ("RequestsPerMinute", "Total", ""),
        "Failed to find metric": ("CpuUtilizationPercentage", "Average", ""),
        "no dimension": ("RequestLatency_P95", "Average", "statusCode eq '*'"),
        "filter is invalid": ("RequestsPerMinute", "Average", "statusCode = 200"),
        "invalid": ("RequestsPerMinute", "Average", "statusCode eq '1' or deployment eq 'a'"),
    }
    for said, (metric, aggregation, where) in wrong.items():
        asked = (served.names.endpoint_id, (metric,), aggregation, at(azure), where)
        with pytest.raises(Refused, match=said):
            served.clients.monitor.metrics(*asked)


def test_what_may_not_be_read(served: AzureMLCloud, azure: AzureFake) -> None:
    monitor: Monitor = served.clients.monitor
    with pytest.raises(NotFound):
        monitor.now(f"{served.names.endpoint_id}x", metrics.REQUESTS)
    azure.arm.denied.add("GET Microsoft.Insights/metrics")
    with pytest.raises(NotAllowed, match=r"Microsoft\.Insights/metrics/read is missing"):
        metrics.of_endpoint(monitor, served.names, at(azure))


def test_status_tells_the_last_hour(
    served: AzureMLCloud, ml: MachineLearning, azure: AzureFake
) -> None:
    (name,) = ml.routed["squad"]
    both = RequestMetrics(2, refused=1, p50_ms=20, p95_ms=20)
    assert served.last_hour() == {"last hour": both}
    long_ago = Scored(azure.clock.now() - 3700, served.names.endpoint_id.lower(), name, 500, "", 9)
    ml.monitor.scored.append(long_ago)
    assert served.last_hour() == {"last hour": both}
    (found,) = azure.store.all(ENDPOINTS)
    found["properties"]["mirrorTraffic"] = {"green": 10}
    by_each = {f"last hour, {name}": both, "last hour, green": RequestMetrics(0)}
    assert served.last_hour() == {"last hour": both, **by_each}
    action = "Microsoft.Insights/metrics/read"
    azure.authorizer.allows = lambda permission: permission.action.lower() != action.lower()
    assert served.last_hour() == {"last hour": f"not known: {action} is missing"}
    found["properties"] |= {"traffic": {}, "mirrorTraffic": {}}
    assert served.last_hour() == {}
