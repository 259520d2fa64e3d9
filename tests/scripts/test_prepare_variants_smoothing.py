"""Smooth activations: the same products in float32, smaller errors in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from onnxferry.scoring.engine import Array, Session
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.activation_ranges import Ranges, measure_ranges
from onnxferry.scripts.prepare.variants.int8_linear import channels, quantise_linear
from onnxferry.scripts.prepare.variants.smoothing import smooth
from onnxferry.scripts.prepare.variants.variant import FULL_RANGE
from tests.scripts import exact_arithmetic

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
    want, got = Session(source).run(feeds)[0], exact_arithmetic.run(path, feeds)[0]
    return float(np.abs(want - got).mean() / np.abs(want).mean())


def measured(source: Path, inputs: int = 3) -> tuple[ir.Model, Ranges]:
    model = onnx_graph.read(source)
    feeds = [{"x": activations(seed)} for seed in range(inputs)]
    return model, measure_ranges(model.graph, channels(model.graph), feeds)


def test_products_stay_the_same_and_ranges_are_those_of_the_smoothed(tmp_path: Path) -> None:
    source = layers(tmp_path / "source.onnx")
    model, ranges = measured(source)
    after = smooth(model.graph, frozenset(), ranges)
    onnx_graph.save(model, tmp_path / "smooth.onnx")
    assert error(tmp_path / "smooth.onnx", source) < 1e-5
    assert set(after) == {"x", "h", "x_smoothed", "h_smoothed"}
    spread = [after[name].high.max() / np.median(after[name].high) for name in ("x", "x_smoothed")]
    assert spread[1] < spread[0] / 5


def static_int8(source: Path, path: Path, is_smoothed: bool) -> Path:
    model, ranges = measured(source)
    if is_smoothed:
        ranges = smooth(model.graph, frozenset(), ranges)
    quantise_linear(model.graph, frozenset(), FULL_RANGE, ranges)
    onnx_graph.save(model, path)
    return path


def test_static_int8_loses_less(tmp_path: Path) -> None:
    source = layers(tmp_path / "source.onnx")
    smoothed = static_int8(source, tmp_path / "smoothed.onnx", True)
    rough = static_int8(source, tmp_path / "rough.onnx", False)
    assert error(smoothed, source) < error(rough, source) / 2


def test_weights_that_layers_share_are_not_copied(tmp_path: Path) -> None:
    """As ALBERT's, whose layers are all one."""
    model, ranges = measured(layers(tmp_path / "source.onnx", shared=True), inputs=1)
    before = len(model.graph)
    assert smooth(model.graph, frozenset(), ranges) == ranges
    assert len(model.graph) == before


def test_a_bias_is_added_by_the_int8_layer_itself(tmp_path: Path) -> None:
    """y = gelu(x w + b) v + c, as onnxruntime's optimiser leaves it; another sum stays one."""
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in "wv"}
    weights |= {name: draw.normal(size=WIDTH).astype(np.float32) for name in "bc"}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("BiasGelu", ["xw", "b"], ["h"], domain="com.microsoft"),
        helper.make_node("MatMul", ["h", "v"], ["hv"]),
        helper.make_node("Add", ["c", "hv"], ["sum"]),
        helper.make_node("Add", ["sum", "x"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("x", "y")
    ]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_graph(nodes, "biased", ends[:1], ends[1:], held)
    source = tmp_path / "source.onnx"
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), source)
    after = static_int8(source, tmp_path / "int8.onnx", True)
    kinds = [node.op_type for node in onnx_graph.read(after).graph]
    layer = ["Mul", "QuantizeLinear", "MatMulIntegerToFloat"]
    assert kinds == [*layer, "FastGelu", *layer, "Add"]
    assert error(after, source) < 0.05
