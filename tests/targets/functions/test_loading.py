"""A model that is loaded in a thread: its states, who waits, and what failures are told."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring.errors import InternalError, ModelError
from onnxferry.targets.functions import loading
from onnxferry.targets.functions.loading import ModelLoading
from tests import tiny


def test_requests_wait_for_the_model_and_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, loads = threading.Event(), []

    def load(folder: Path) -> scoring.Scorer:
        loads.append(folder)
        go.wait(30)
        return scoring.load(folder)

    monkeypatch.setattr(loading, "load", load)
    model = ModelLoading(tiny.text_classification(tmp_path / "model"))
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(model.outcome) for _ in range(8)]
        assert model.state == "loading"
        assert not any(one.done() for one in waiting)
        go.set()
        found = {id(one.result(30)) for one in waiting}
    assert (len(found), len(loads), model.state) == (1, 1, "ready")


def test_a_model_that_is_not_there_is_told_without_the_folders_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = ModelLoading(tmp_path / "model")
    errors = [model.outcome() for _ in range(3)]
    assert all(isinstance(error, ModelError) for error in errors)
    assert str(errors[0]).startswith("model/model_spec.json: no model_spec.json")
    assert str(tmp_path) not in str(errors[0])
    assert model.state == "failed"
    assert len(caplog.records) == 1


def test_a_defect_is_told_as_one_and_its_traceback_is_in_the_log_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(folder: Path) -> scoring.Scorer:
        raise RuntimeError("secret")

    monkeypatch.setattr(loading, "load", load)
    with caplog.at_level(logging.ERROR):
        error = ModelLoading(tmp_path).outcome()
    assert isinstance(error, InternalError)
    assert "secret" not in str(error)
    assert caplog.records[0].exc_info
