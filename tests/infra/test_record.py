"""deployed.json: what is live, with hashes and times."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from onnxferry.infra import record
from onnxferry.infra.cloud import Bundle, EndpointStatus
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package
from onnxferry.system.errors import UsageError


def bundle(sha256: str) -> Bundle:
    package = Package("sagemaker", "squad", Path("model.tar.gz"), sha256, 1234, "3.12", ())
    return Bundle(package, Golden(Request(b"{}"), {}))


def live(version: str, previous: str = "") -> EndpointStatus:
    return EndpointStatus(
        "sagemaker", "squad", "InService", "https://x/invocations", version, previous
    )


def now() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


OLD, NEW = "a" * 64, "b" * 64


def test_records_what_is_live_and_what_was(tmp_path: Path) -> None:
    record.write(tmp_path, live(OLD[:12]), bundle(OLD), now)
    entry = record.write(tmp_path, live(NEW[:12], OLD[:12]), bundle(NEW), now)
    assert entry["time"] == "2026-01-02T03:04:05+00:00"
    assert [version["sha256"] for version in entry["versions"]] == [NEW, OLD]
    assert json.loads((tmp_path / "sagemaker" / "deployed.json").read_text()) == {
        "endpoints": {"squad": entry}
    }


def test_a_roll_back_keeps_the_facts(tmp_path: Path) -> None:
    record.write(tmp_path, live(OLD[:12]), bundle(OLD), now)
    record.write(tmp_path, live(NEW[:12], OLD[:12]), bundle(NEW), now)
    entry = record.write(tmp_path, live(OLD[:12], NEW[:12]), None, now)
    assert [version["sha256"] for version in entry["versions"]] == [OLD, NEW]


def test_what_is_deleted_leaves_the_record(tmp_path: Path) -> None:
    record.write(tmp_path, live(OLD[:12]), bundle(OLD), now)
    record.write(tmp_path, EndpointStatus("sagemaker", "squad", "absent"), None, now)
    assert json.loads((tmp_path / "sagemaker" / "deployed.json").read_text()) == {"endpoints": {}}


def test_a_broken_record_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "sagemaker" / "deployed.json"
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(UsageError, match="move it away"):
        record.write(tmp_path, live(OLD[:12]), bundle(OLD), now)
    assert file.read_text() == "{"
