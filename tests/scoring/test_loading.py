"""One line when a model is loaded: what the start took, by phase."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring.loading import PHASES, Clock
from tests import tiny


def test_a_line_tells_what_each_phase_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny.text_classification(tmp_path / "model")
    with caplog.at_level(logging.INFO, logger="scoring"):
        scorer = scoring.load(model)
    (record,) = (r for r in caplog.records if r.name == "scoring")
    line = json.loads(record.getMessage())
    assert list(line) == ["event", "model", "task", "ms"]
    assert (line["event"], line["model"]) == ("loaded", scorer.spec.name)
    assert line["task"] == "text-classification"
    assert tuple(line["ms"]) == PHASES
    assert all(ms > 0 for ms in line["ms"].values())


def test_a_model_that_does_not_load_leaves_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny.text_classification(tmp_path / "model")
    (model / "model.onnx").write_bytes(b"damaged")
    with (
        caplog.at_level(logging.INFO, logger="scoring"),
        pytest.raises(scoring.ScoringError, match=r"model\.onnx"),
    ):
        scoring.load(model)
    assert "loaded" not in caplog.text


def test_a_phase_begins_where_the_one_before_ended() -> None:
    clock = Clock()
    clock.lap("first")
    before = sum(clock.seconds.values())
    clock.lap("second")
    assert list(clock.seconds) == ["first", "second"]
    assert 0 <= before <= sum(clock.seconds.values())
