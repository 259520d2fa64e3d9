"""Smooth activations: the same products in float32, smaller errors in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxferry.scoring.engine import Array, Session
from onnxferry.scripts.prepare.variants import VARIANTS, Material
from onnxferry.scripts.prepare.variants.calibration import measure
from onnxferry.scripts.prepare.variants.linear import inputs
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.smoothing import smooth

BY_NAME = {variant.name: variant for variant in VARIANTS}
WIDTH = 64
OUTLIERS = [3, 40]  # channels of x that are far larger than the others


def layers(path: Path, shared: bool = False) -> Path:
    """y = relu(x w) v, where v is w if `shared`; the second layer is a Gemm with its weights
    transposed, else."""
    draw = np.random.default_rng(0)
    w, v = (draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(2))
    second = (
        helper.make_node("MatMul", ["h", "w"], ["y"])
        if shared
        else helper.make_node("Gemm", ["h", "v"], ["y"], transB=1)
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Relu", ["xw"], ["h"]),
        second,
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("x", "y")
    ]
    weights = [
        numpy_helper.from_array(w, "w"),
        *([] if shared else [numpy_helper.from_array(v, "v")]),
    ]
    made = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def activations(seed: int, rows: int = 50) -> Array:
    x = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    x[:, OUTLIERS] *= 60
    return x


def error(path: Path, source: Path) -> float:
    feeds = {"x": activations(9)}
    want, got = Session(source).run(feeds)[0], Session(path).run(feeds)[0]
    return float(np.abs(want - got).mean() / np.abs(want).mean())


def test_products_stay_the_same_and_ranges_are_those_of_the_smoothed(tmp_path: Path) -> None:
    source = layers(tmp_path / "source.onnx")
    graph = Graph.read(source)
    seen = measure(graph, inputs(graph), [{"x": activations(seed)} for seed in range(3)])
    after = smooth(graph, frozenset(), seen)
    graph.save(tmp_path / "smooth.onnx")
    assert error(tmp_path / "smooth.onnx", source) < 1e-5
    assert set(after) == {"x", "h", "x_smoothed", "h_smoothed"}
    spread = [after[name].high.max() / np.median(after[name].high) for name in ("x", "x_smoothed")]
    assert spread[1] < spread[0] / 5


def test_static_int8_loses_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = layers(tmp_path / "source.onnx")
    material = Material(source, None, [{"x": activations(seed)} for seed in range(3)])
    BY_NAME["int8-static"].make(material, tmp_path / "smoothed.onnx", frozenset())
    monkeypatch.setattr("onnxferry.scripts.prepare.variants.smooth", lambda graph, keep, seen: seen)
    BY_NAME["int8-static"].make(material, tmp_path / "rough.onnx", frozenset())
    assert error(tmp_path / "smoothed.onnx", source) < error(tmp_path / "rough.onnx", source) / 2


def test_weights_that_layers_share_are_not_copied(tmp_path: Path) -> None:
    """As ALBERT's, whose layers are all one."""
    graph = Graph.read(layers(tmp_path / "source.onnx", shared=True))
    before = len(graph.nodes)
    seen = measure(graph, inputs(graph), [{"x": activations(0)}])
    assert smooth(graph, frozenset(), seen) == seen
    assert len(graph.nodes) == before
