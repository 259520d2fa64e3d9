"""The figures of a rehearsal, kept beside its package and found by its hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.scripts.package import Package, read
from onnxferry.scripts.package.build import package
from onnxferry.scripts.rehearse import Rehearsal, record
from onnxferry.scripts.rehearse.phases import StartPhases
from onnxferry.scripts.rehearse.rehearsable import with_stand_in
from tests import tiny
from tests.packages import bare, quiet
from tests.targets.served import GOLDEN

DONE = Rehearsal(
    target="functions",
    size=1,
    python="3.11",
    runtime="the Azure Functions worker",
    start_seconds=1.23456,
    phases=StartPhases(1.0, 0.3, 0.1, 0.05),
    latency_p50_ms=20.00049,
    latency_p95_ms=30.5,
    cpu_ms=38.0,
    memory_mib=180.26,
    network="cut off",
    answer=b"{}",
    extra=(),
)


@pytest.fixture
def built(tmp_path: Path) -> Package:
    model = tiny.text_classification(tmp_path / "model", golden=GOLDEN)
    return package(model, bare("functions"), out=tmp_path / "build", report=quiet)


def test_it_is_kept_beside_the_package_and_is_no_part_of_it(built: Package) -> None:
    assert record.read(built) is None
    record.write(built, DONE)
    kept = record.read(built)
    assert kept
    assert (kept.sha256, kept.python, kept.latency_p50_ms) == (built.sha256, "3.11", 20.0)
    assert (kept.cpu_ms, kept.memory_mib) == (38.0, 180.3)
    assert kept.cpus >= 1
    assert read(built.path) == built
    beside = {path.name for path in built.path.parent.iterdir()}
    assert beside == {"function.zip", "package.json", "rehearsal.json"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": "0", "other": 1}'])
def test_another_form_is_no_record(built: Package, text: str) -> None:
    (built.path.parent / record.FILE).write_text(text)
    assert record.read(built) is None


def test_a_folder_that_cannot_be_written_to_is_said(
    built: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    (built.path.parent / "away").write_text("")
    elsewhere = replace(built, path=built.path.parent / "away" / "function.zip")
    record.write(elsewhere, DONE)
    assert "cannot estimate" in " ".join(capsys.readouterr().err.split())


def test_a_stand_in_is_rehearsed_for_what_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the platform's Python is not here, the record is kept for the platform's package."""
    known = {"3.11": Path("python3.11")}
    monkeypatch.setattr("onnxferry.scripts.rehearse.rehearsable.find_python", known.get)
    model = tiny.text_classification(tmp_path / "model", golden=GOLDEN)
    given, rehearsed = with_stand_in(model, bare("functions"), tmp_path / "build", "3.12")
    assert (given.python, rehearsed.python) == ("3.12", "3.11")
    assert given.path == tmp_path / "build/functions/tiny-text/function.zip"
    assert rehearsed.path == tmp_path / "build/rehearsal/functions/tiny-text/function.zip"
