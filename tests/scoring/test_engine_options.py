"""What the engine may use of a host: read from the spec, overridden by the deployment, taken by the
session."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import onnxruntime
import pytest

from onnxferry import scoring
from onnxferry.scoring import cpu
from onnxferry.scoring.engine import Session, spin_entries
from onnxferry.scoring.engine_options import PREFIX, EngineOptions, variables
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from tests import tiny

PAGE = Path(__file__).parents[2] / "docs/host-settings.md"


def test_what_is_left_open_is_the_hosts_cores() -> None:
    assert EngineOptions().resolved() == EngineOptions(
        threads=cpu.available(), parallel_runs=cpu.available()
    )
    assert EngineOptions(threads=3).resolved() == EngineOptions(threads=3, parallel_runs=3)
    assert EngineOptions(threads=3, parallel_runs=1).resolved() == EngineOptions(
        threads=3, parallel_runs=1
    )


def test_a_spec_may_say_what_the_engine_gets(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path, engine=EngineOptions(threads=1, spin_duration_us=0))
    assert ModelSpec.read(folder).engine == EngineOptions(threads=1, spin_duration_us=0)


def test_a_deployment_overrides_the_spec(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path, engine=EngineOptions(threads=1, parallel_runs=4))
    given = {
        "ONNXFERRY_ENGINE_THREADS": " 2 ",
        "ONNXFERRY_ENGINE_SPINNING": "500",
        "ONNXFERRY_ENGINE_ARENA": "False",
        "ONNXFERRY_ENGINE_PREPACK": "0",
        "OTHER": "x",
    }
    scorer = scoring.load(folder, given)
    assert scorer.spec.engine == EngineOptions(
        threads=2, parallel_runs=4, spin_duration_us=500, arena=False, prepack=False
    )
    assert scorer.handle(scoring.Request(b'{"inputs": ["good", "bad day"]}')).status == 200


def test_the_session_has_what_was_asked_for(tmp_path: Path) -> None:
    session = Session(tiny.text_classification(tmp_path) / MODEL_FILE, EngineOptions(threads=3))
    options = session._session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    if onnxruntime.__version__ >= "1.26":
        assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "50"


@pytest.mark.parametrize(
    ("version", "duration_us", "entries"),
    [
        ("1.31.1", 10, {"intra_op.spin_duration_us": "10"}),
        ("1.31.1", 0, {"intra_op.allow_spinning": "0"}),
        ("1.23.2", 10, {"intra_op.allow_spinning": "0"}),
        ("1.23.2", 1000, {"intra_op.allow_spinning": "1"}),
    ],
)
@pytest.mark.parametrize(("between", "stop"), [(False, "1"), (True, "0")])
def test_threads_wait_as_this_onnxruntime_can(
    version: str, duration_us: int, entries: dict[str, str], between: bool, stop: str
) -> None:
    options = EngineOptions(spin_duration_us=duration_us, spin_between_runs=between)
    assert spin_entries(options, version) == {**entries, "force_spinning_stop": stop}


def test_former_names_of_options_are_read(tmp_path: Path) -> None:
    """In model_spec.json and as variables; the newer name counts where both are set."""
    expected = EngineOptions(parallel_runs=3, spin_duration_us=7)
    assert EngineOptions.read({"runs": 3, "spinning": 7}) == expected
    old = {PREFIX + "RUNS": "3", PREFIX + "SPINNING": "7"}
    assert EngineOptions().overridden(old) == expected
    assert EngineOptions().overridden({PREFIX + "PARALLEL_RUNS": "2", **old}).parallel_runs == 2
    with pytest.raises(ValueError, match=r"engine\.runs must be an integer of at least 0, got -1"):
        EngineOptions.read({"runs": -1})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "THREADS",
            "two",
            "ONNXFERRY_ENGINE_THREADS must be an integer from 0 to 999999, got 'two'",
        ),
        ("RUNS", "-1", "ONNXFERRY_ENGINE_RUNS must be an integer from 0 to 999999, got '-1'"),
        ("PREPACK", "2", "ONNXFERRY_ENGINE_PREPACK must be 0 or 1, got '2'"),
        ("ARENA", "", "ONNXFERRY_ENGINE_ARENA must be 0 or 1, got ''"),
        (
            "CORES",
            "2",
            "ONNXFERRY_ENGINE_CORES sets nothing of the engine; known: ONNXFERRY_ENGINE_THREADS, ",
        ),
    ],
)
def test_a_variable_that_cannot_be_meant_stops_the_load_by_its_name(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    with pytest.raises(scoring.ScoringError, match=re.escape(message)) as caught:
        scoring.load(tiny.text_classification(tmp_path), {PREFIX + name: value})
    assert caught.value.code == "invalid_model"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"threads": -1}', "engine.threads must be an integer of at least 0, got -1"),
        ('{"threads": true}', "engine.threads must be an integer of at least 0, got True"),
        ('{"arena": 1}', "engine.arena must be true or false, got 1"),
        (
            '{"cores": 1}',
            "engine has unknown key(s) cores; known: threads, processes, parallel_runs,",
        ),
    ],
)
def test_a_spec_that_cannot_be_meant_stops_the_load(
    tmp_path: Path, given: str, message: str
) -> None:
    (tmp_path / "model_spec.json").write_text(
        f'{{"format": 1, "name": "a", "task": "tensors", "engine": {given}}}'
    )
    with pytest.raises(scoring.ScoringError, match=re.escape(message)):
        scoring.load(tmp_path)


def test_the_page_has_each_of_them_with_its_default() -> None:
    rows = [row.split("|") for row in PAGE.read_text(encoding="utf-8").splitlines()]
    shown = {
        row[2].strip(" `"): row[3].strip()
        for row in rows
        if len(row) > 3 and f"`{PREFIX}" in row[2]
    }
    wanted = {"0": "the host's", "1": "1", "50": "50", "True": "on", "False": "off"}
    by_option = {variables()[name]: default for name, default in shown.items()}
    assert by_option == {
        name: wanted[str(value)] for name, value in asdict(EngineOptions()).items()
    }
