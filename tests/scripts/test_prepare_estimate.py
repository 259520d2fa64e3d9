"""How long prepare will take: told where it is long, and never a reason to fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from onnxferry.scripts.prepare import estimate
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.inspection.inspection import Inspection

BERT_BASE = 435_000_000  # bytes


def inspection(weights: int, task: str = "question-answering", **flags: Any) -> Inspection:
    folder: Any = SimpleNamespace(weight_bytes=weights, task=task)
    return Inspection(Options("source", **{"out": None, **flags}), folder)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 100 GFLOP/s, which two cores with AVX2 have."""
    monkeypatch.setattr(estimate, "operations_a_second", lambda: 1e11)


def test_a_model_of_usual_size_takes_minutes_and_is_told() -> None:
    seconds = estimate.before(inspection(BERT_BASE))
    assert seconds is not None
    assert 60 < seconds < 300
    assert estimate.told(seconds, " more") == f"about {round(seconds / 60)} minutes more"


def test_more_work_takes_longer() -> None:
    usual = estimate.before(inspection(BERT_BASE))
    assert usual
    with_data = estimate.before(inspection(BERT_BASE, data="data", limit=100))
    all_data = estimate.before(inspection(BERT_BASE, data="data"))
    float32 = estimate.before(inspection(BERT_BASE, precision="fp32"))
    assert with_data
    assert all_data
    assert float32
    assert float32 < usual < with_data < all_data


def test_a_small_model_is_not_worth_a_word() -> None:
    assert estimate.told(estimate.before(inspection(1_000_000))) is None


def test_what_is_not_known_is_not_told() -> None:
    assert estimate.before(inspection(BERT_BASE, "image-classification")) is None
    assert estimate.before(Inspection(Options("model.onnx", None), None)) is None  # type: ignore[arg-type]
    assert estimate.before(inspection(BERT_BASE, "tensors")) is None
    assert estimate.told(None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(29, None), (44, "about 40 s"), (89, "about 90 s"), (100, "about 2 minutes")],
)
def test_a_time_is_told_roundly(seconds: float, text: str | None) -> None:
    assert estimate.told(seconds) == text


def test_what_is_left_follows_from_what_was_measured() -> None:
    evaluator: Any = SimpleNamespace(seconds_each=0.25, samples=[None] * 61, eval_set=None)
    options = Options("source", None)  # type: ignore[arg-type]
    left = estimate.after(options, evaluator)
    assert 40 < left < 90
    evaluator.seconds_each = 0.5
    assert estimate.after(options, evaluator) == pytest.approx(2 * left)
