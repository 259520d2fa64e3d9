"""What `compare` makes of what the version that serves and its shadow have captured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra import azureml
from onnxferry.infra.azureml import captured
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.comparison import AnswerRules, ComparisonReport, compare
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.azure.providers.data_collector import DataCollector
from tests.infra.azureml.mirrored import MirrorWorld, mirror_world

QA = AnswerRules.of(ModelSpec("m", "question-answering"))


@pytest.fixture(scope="module")
def built(versions: dict[str, Bundle]) -> Iterator[MirrorWorld]:
    with mirror_world(versions) as found:
        yield found


@pytest.fixture
def world(built: MirrorWorld) -> MirrorWorld:
    """The third version gets half of the requests."""
    built.put_back(built.states["abc"])
    return built


@pytest.fixture
def cloud(world: MirrorWorld) -> AzureMLCloud:
    assert isinstance(world.cloud, AzureMLCloud)
    return world.cloud


@pytest.fixture
def collector(world: MirrorWorld) -> DataCollector:
    return world.ml.collector


def ask(cloud: AzureMLCloud, times: int = 1) -> None:
    for i in range(times):
        question = {**tiny.QUESTION, "question": f"Who is number {i}?"}
        cloud.invoke(Request(json.dumps({"inputs": question}).encode()), 60)


def report(cloud: AzureMLCloud, limit: int = 1000) -> ComparisonReport:
    return compare(cloud.shadow_traffic(None, limit), QA)


def test_what_is_captured_of_both_is_compared(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    ask(cloud, 4)
    for _ in range(2):
        cloud.invoke(Request(b'{"inputs": 1}'), 60)
    assert report(cloud).pairs == 0  # it takes some minutes to come
    collector.deliver()
    found, (live, new) = report(cloud), (world.bundles[v].version for v in "bc")
    assert (found.serving.version, found.shadow.version) == (live, new)
    assert (found.shadow.captured, found.pairs, found.percent) == (3, 3, 50)
    assert (found.serving.errors, found.shadow.errors) == (1, 1)
    assert (found.same, found.agree) == (1, 1)  # the errors
    both = (found.serving.metrics, found.shadow.metrics)
    assert [(one.requests, one.refused) for one in both if one] == [(6, 2), (3, 1)]
    limited = report(cloud, limit=1)
    assert (limited.pairs, "Only the newest 1 answers" in limited.notes[0]) == (1, True)
    now = datetime.now(timezone.utc)
    assert cloud.shadow_traffic(now + timedelta(hours=2), 9).shadow.answers == ()
    assert len(cloud.shadow_traffic(now - timedelta(hours=2), 9).shadow.answers) == 3


def test_hours_before_the_shadow_came_are_not_read(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    for hours, times in ((-30, 2), (1, 2), (26, 4)):
        world.azure.clock.ahead = hours * 3600
        ask(cloud, times)
        collector.deliver()
    ask(cloud, 1)
    world.azure.restart_counting()
    assert report(cloud).pairs == 3
    assert report(cloud, limit=2).pairs == 2
    read = [c.path for c in world.azure.calls if c.path.endswith(".jsonl")]
    assert len(set(read)) == 8  # both collections of both, in two hours


def test_pages_of_a_listing_are_all_read(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    ask(cloud, 2)
    collector.deliver()
    for name in [name for name in world.blobs if name.endswith("-0.jsonl")]:
        for i in range(1, 4):
            world.blobs[name.replace("-0.jsonl", f"-{i}.jsonl")] = world.blobs[name]
    world.azure.blobs.page = 2
    try:
        assert report(cloud).shadow.captured == 4
    finally:
        world.azure.blobs.page = 5000


def test_large_and_binary_payloads_are_read_where_they_are(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    collector.largest = 40
    ask(cloud, 2)
    cloud.invoke(Request(b"a,b\n1,2\n", "text/csv"), 60)
    cloud.invoke(Request(bytes(range(256)), "image/png"), 60)
    collector.deliver()
    records = [
        line for name in world.blobs if name.endswith(".jsonl") for line in _lines(world, name)
    ]
    assert {"datainblob" in one for one in records} == {True, False}
    found = report(cloud)
    assert (found.pairs, found.shadow.captured) == (2, 2)
    assert found.serving.errors == found.shadow.errors == 1
    collector.largest = 0
    ask(cloud, 2)
    collector.deliver()
    for name in [name for name in world.blobs if name.startswith("modelData") and ".jsonl" in name]:
        text = (world.blobs[name].data or b"").replace(b"/azureml-blobstore/", b"/elsewhere/")
        world.blobs[name].data = text
    assert report(cloud).shadow.captured == 3
    assert report(cloud).pairs == 0  # nobody knows what was asked


def _lines(world: MirrorWorld, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (world.blobs[name].data or b"").splitlines()]


def test_answers_without_requests_are_paired_by_ids_alone(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    for one_id, pairs in ((False, 0), (True, 1)):
        collector.one_id = one_id
        ask(cloud, 2)
        collector.deliver()
        for name in [name for name in world.blobs if "/request/" in name]:
            del world.blobs[name]
        found = report(cloud)
        assert (found.shadow.captured, found.pairs) == (1 + one_id, pairs)
    assert any("not captured" in note for note in found.notes)


def test_what_cannot_be_read_is_named(
    world: MirrorWorld, cloud: AzureMLCloud, collector: DataCollector
) -> None:
    ask(cloud, 2)
    collector.deliver()
    name = next(n for n in world.blobs if "/response/" in n and world.bundles["c"].version in n)
    world.blobs[name].data = b'{"a": 1}\n'
    with pytest.raises(CloudError, match=r"\.jsonl, line 1: no captured request"):
        report(cloud)
    world.put_back(world.states["ab"])
    with pytest.raises(NotFound, match=r"rollout\.mirror=20"):
        cloud.shadow_traffic(None, 1)


EVENT = {
    "specversion": "1.0",
    "id": "e",
    "type": "azureml.inference.request",
    "datacontenttype": "application/json",
    "time": "2026-11-26T10:00:00Z",
    "data": {"inputs": ["a", "b"]},
    "contentrange": "bytes 0-22/23",
    "correlationid": "c",
    "xrequestid": "x",
}


def test_an_event_is_read_as_the_data_collector_writes_it() -> None:
    found = captured.event(EVENT)
    assert (found.ids, found.payload) == (("x", "c"), b'{"inputs": ["a", "b"]}')
    text = captured.event(
        {**EVENT, "datacontenttype": "text/csv", "data": "a,b", "xrequestid": "c"}
    )
    assert (text.ids, text.payload, text.blob) == (("c",), b"a,b", "")
    address = "https://account.blob.core.windows.net/modeldata/mdc/e"
    assert captured.event({**EVENT, "data": address, "datainblob": "true"}).blob == address


def run(*options: str) -> tuple[int, str]:
    words = ("compare", "--target", "azureml", "--name", "squad", *options)
    done = CliRunner().invoke(cli.cli, words)
    return done.exit_code, " ".join(done.output.split())


def test_on_the_command_line(
    world: MirrorWorld,
    cloud: AzureMLCloud,
    collector: DataCollector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(azureml, "connect", lambda config, name: cloud)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy.toml").write_text(_TOML, encoding="utf-8")
    world.ml.latency |= dict.fromkeys(world.endpoint["mirrorTraffic"], 60.0)
    ask(cloud, 4)
    code, text = run()
    assert (code, "nothing to compare yet" in text) == (1, True)
    collector.deliver()
    code, text = run("--tolerance", "0.5", "--hours", "1", "--show", "1")
    assert (code, "0 of 2 answers are the same within 0.5" in text) == (0, True)
    assert "Who is number 1?" in text
    assert world.bundles["c"].version in text
    code, text = run("--min-agreement", "0.9", "--max-slower", "2")
    assert (code, "0.0% of the answers agree, fewer than 90.0%" in text) == (1, True)
    assert "its p95 latency is 3.00 times the live one, more than 2" in text
    monkeypatch.setattr(cloud.clients.monitor, "metrics", _not_allowed)
    code, text = run("--max-slower", "2")
    assert (code, "the latency is not known" in text) == (1, True)
    assert "Requests and latency are not known: Microsoft.Insights/metrics/read is" in text
    code, text = run("--output", "json")
    assert (code, json.loads(text)["shadow"]["captured"]) == (0, 2)


def _not_allowed(*asked: Any, **more: Any) -> Any:
    refused = NotAllowed("metrics may not be read")
    refused.permission = "Microsoft.Insights/metrics/read"
    raise refused


_TOML = """
[azureml]
subscription = "00000000-0000-0000-0000-000000000001"
resource_group = "rg"
workspace = "work"
"""
