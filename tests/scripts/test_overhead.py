"""The share of a request's time outside the engine, from the Server-Timing header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxferry import scoring
from onnxferry.scoring.limits import Limits
from onnxferry.scripts.overhead import command, inputs_of, measure
from onnxferry.system.errors import EvaluationError, UsageError
from tests import tiny


def test_stages_and_their_share_are_measured(tmp_path: Path) -> None:
    found = measure(scoring.load(tiny.text_classification(tmp_path)), ["good day"] * 3, rounds=2)
    assert (found.texts, found.rounds) == (3, 2)
    assert {"decode", "engine", "encode"} < set(found.stages)
    assert 0 < found.outside < 1


def test_texts_that_are_refused_are_an_error_with_the_cores_message(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.text_classification(tmp_path, limits=Limits(items=2)))
    with pytest.raises(EvaluationError, match="413: 'inputs' has 3 items"):
        measure(scorer, ["good"] * 3, rounds=1)


def test_the_texts_are_the_same_each_time_and_a_task_without_any_is_refused() -> None:
    assert inputs_of("question-answering", 5) == inputs_of("question-answering", 5)
    with pytest.raises(UsageError, match="no texts for task 'tensors'"):
        inputs_of("tensors", 1)


def test_the_command_prints_data_and_writes_its_section(tmp_path: Path) -> None:
    model, out = tiny.text_classification(tmp_path / "model"), tmp_path / "quality.md"
    done = CliRunner().invoke(
        command,
        [
            "--model",
            str(model),
            "--texts",
            "2",
            "--rounds",
            "1",
            "--output",
            "json",
            "--out",
            str(out),
        ],
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["texts"] == 2
    assert "| texts | decode |" in out.read_text()
