"""Weights in a file of their own beside the graph: the same answers, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from onnxferry.scoring.engine import Session
from onnxferry.scripts.prepare import onnx_file_io
from tests import tiny


def test_weights_beside_the_graph_give_the_same_answers(tmp_path: Path) -> None:
    path = tiny.product_graph(tmp_path / "model.onnx")
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 300)).astype(np.float32)}
    before, size = Session(path).run(feeds), path.stat().st_size
    onnx_file_io.split(path, least=1000)
    assert path.stat().st_size < size / 5
    np.testing.assert_array_equal(Session(path).run(feeds)[0], before[0])
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in onnx.load(path, load_external_data=False).graph.initializer
        if tensor.external_data
    ]
    assert [place["offset"] for place in places] == ["0", "8448"]  # the small ones stay
    assert {place["location"] for place in places} == {onnx_file_io.WEIGHTS_FILE}


def test_the_same_graph_makes_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = tiny.product_graph(tmp_path / name / "model.onnx")
        onnx_file_io.split(path, least=1000)
        made.append((path.read_bytes(), path.with_name(onnx_file_io.WEIGHTS_FILE).read_bytes()))
    assert made[0] == made[1]


def test_a_small_graph_stays_one_file(tmp_path: Path) -> None:
    path = tiny.product_graph(tmp_path / "model.onnx")
    before = path.read_bytes()
    onnx_file_io.split(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
