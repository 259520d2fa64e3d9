"""Weights in a file of their own beside the graph: the same answers, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxferry.scoring.engine import Session
from onnxferry.scripts.prepare import onnx_file_io
from tests import tiny


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few weights are enough for a file of their own."""
    monkeypatch.setattr(onnx_file_io, "EXTERNAL_FROM", 1000)


def places(path: Path) -> list[dict[str, str]]:
    """Where each external weight of a graph is."""
    weights = onnx.load(path, load_external_data=False).graph.initializer
    return [
        {entry.key: entry.value for entry in t.external_data} for t in weights if t.external_data
    ]


def test_weights_beside_the_graph_give_the_same_answers(low: None, tmp_path: Path) -> None:
    source, path = tiny.product_graph(tmp_path / "source.onnx"), tmp_path / "model.onnx"
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 300)).astype(np.float32)}
    onnx_file_io.copy(source, path)
    assert path.stat().st_size < source.stat().st_size / 5
    np.testing.assert_array_equal(Session(path).run(feeds)[0], Session(source).run(feeds)[0])
    assert [place["offset"] for place in places(path)] == ["0", "8448"]  # the small ones stay
    assert {place["location"] for place in places(path)} == {onnx_file_io.WEIGHTS_FILE}


def test_the_same_graph_makes_the_same_bytes(low: None, tmp_path: Path) -> None:
    made = []
    source = tiny.product_graph(tmp_path / "source.onnx")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "model.onnx"
        onnx_file_io.copy(source, path)
        made.append((path.read_bytes(), path.with_name(onnx_file_io.WEIGHTS_FILE).read_bytes()))
        source = path  # a copy of a copy, too
    assert made[0] == made[1]


def test_a_small_graph_stays_one_file(tmp_path: Path) -> None:
    source, path = tiny.product_graph(tmp_path / "source.onnx"), tmp_path / "made" / "model.onnx"
    path.parent.mkdir()
    onnx_file_io.copy(source, path)
    assert path.read_bytes() == source.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
