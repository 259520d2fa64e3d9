"""The comparison with PyTorch in Azure's worker, by its parts, with a tiny model for both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.functions.build import LIBRARIES, App, build
from examples.functions.compare import text
from examples.functions.limited import memory_group
from examples.functions.measure import Round, measured, survives
from examples.functions.table import COLUMNS, Measured, percentile, rows
from onnxferry.infra.functions.sizing import HOST_MB, SPARE, allowed_mib
from onnxferry.scripts.rehearse.archives import unpack_zip
from onnxferry.scripts.rehearse.phases import StartPhases
from tests.packages import quiet
from tests.targets.served import GOLDEN, built

OURS = Round(1.0, StartPhases(0.8, 0.3, 0.1, 0.2), 0.5, (10.0, 12.0), 15.0, 100.0, "espresso")
THEIRS = Round(5.0, StartPhases(4.9, None, None, 0.1), 2.5, (20.0, 24.0), 60.0, 400.0, "espresso")


def table(ours: Round = OURS, theirs: Round = THEIRS) -> dict[str, list[str]]:
    slower = replace(theirs, seconds=7.0)
    sides = (
        Measured(45_000_000, (ours, ours), "answers"),
        Measured(450_000_000, (theirs, slower), ""),
    )
    return {row[0]: row[1:] for row in rows(*sides)}


def test_a_row_has_both_and_the_ratio_of_the_medians() -> None:
    found = table()
    assert found["cold start, process start to first answer, s"] == [
        "1.00 (1.00 to 1.00)",
        "6.00 (5.00 to 7.00)",
        "6.0x (5.0 to 7.0)",
    ]
    assert found["package, MB"] == ["45.0", "450.0", "10.0x"]
    assert found["warm latency, p50, ms"][0] == "11.0 (11.0 to 11.0)"
    assert all(len(row) == len(COLUMNS) - 1 for row in found.values())


def test_a_function_that_does_not_tell_its_phases_has_no_ratio() -> None:
    assert table()["- imports"] == ["0.30 (0.30 to 0.30)", "within the above", ""]


def test_another_answer_shows() -> None:
    assert table()["best label"][-1] == "the same"
    assert table(theirs=replace(THEIRS, label="cup"))["best label"][-1] == "NOT the same"


def test_percentiles() -> None:
    assert percentile([float(i) for i in range(101)], 95) == 95.0


def test_the_section_says_what_the_limit_is() -> None:
    side = Measured(1, (OURS,), "answers")
    said, markdown = text([side, side])
    assert f"{allowed_mib(512)} MiB: what a 512 MB instance, with {HOST_MB} MB more" in said
    assert f"{SPARE:.0%}" == "30%"
    assert markdown.startswith("|  | onnxferry | PyTorch | ratio |")


def test_the_peer_is_built_once_and_anew_where_that_was_interrupted(tmp_path: Path) -> None:
    calls: list[Path] = []

    def install(libraries: Path, requirements: Path) -> None:
        calls.append(libraries)
        libraries.mkdir(parents=True)
        (libraries / "library.py").write_text(requirements.read_text())
        if len(calls) == 1:
            raise KeyboardInterrupt

    folder = tmp_path / "torch"
    with pytest.raises(KeyboardInterrupt):
        build(folder, install)
    (folder / "left.txt").write_text("of the run that ended")
    app = build(folder, install)
    assert build(folder, install) == app
    assert len(calls) == 2
    assert "torch==" in (folder / LIBRARIES / "library.py").read_text()
    assert {path.name for path in folder.iterdir()} == {
        ".python_packages",
        "function_app.py",
        "host.json",
        "labels.txt",
    }
    assert app.size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["torch", "torch.json"]


def tiny_app(folder: Path) -> App:
    package = built("functions", folder)
    unpack_zip(package.path, folder / "unpacked")
    return App("tiny", folder / "unpacked", package.size, package.python)


@pytest.mark.host
def test_an_app_is_started_asked_and_limited(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    there = {path for path in app.folder.rglob("*") if path.suffix == ".pyc"}

    found = measured(app, GOLDEN.request, 3, quiet)

    assert (found.label, len(found.latencies)) == ("good", 3)
    assert 0 < found.phases.healthy < found.seconds
    assert found.phases.imports
    assert found.cpu_seconds > 0
    assert found.cpu_ms >= 0
    assert found.memory > 10
    assert {path for path in app.folder.rglob("*") if path.suffix == ".pyc"} == there
    assert survives(app, GOLDEN.request, 1000, quiet) in ("answers", "not measured (no cgroup)")


@pytest.mark.host
def test_a_worker_over_its_limit_is_told(tmp_path: Path) -> None:
    with memory_group(16) as group:
        if group is None:
            pytest.skip("no memory cgroups for this user here")
    assert survives(tiny_app(tmp_path), GOLDEN.request, 16, quiet) == "is killed"
