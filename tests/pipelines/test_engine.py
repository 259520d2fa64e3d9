"""Engine: raw arrays in and out, checked before the run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxferry import Context, Engine, Scheduler
from onnxferry.pipelines import MultiModelEngine, PipelineError
from onnxferry.pipelines.errors import InvalidInput
from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import ModelError
from tests import tiny


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y [batch, 5] of x [batch, 300]."""
    return tiny.product_graph(tmp_path_factory.mktemp("graph") / "product.onnx")


def ones(rows: int) -> Array:
    return np.ones((rows, 300), np.float32)


def test_arrays_go_in_and_come_out_in_the_graphs_order(product: Path) -> None:
    engine = Engine(product, batch_size=2, num_cores=1)
    assert (engine.input_names, engine.output_names) == (["x"], ["y"])
    assert engine.input_shapes == [(2, 300)]
    assert (engine.batch_size, engine.num_cores, engine.num_streams) == (2, 1, 1)
    (y,) = engine([ones(2)])
    assert y.shape == (2, 5)
    assert np.array_equal(engine.run({"x": ones(2)})[0], y)
    assert np.array_equal(engine.mapped_run([ones(2)])["y"], y)
    outputs, seconds = engine.timed_run([ones(2)])
    assert np.array_equal(outputs[0], y) and seconds > 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([ones(1)], r"'x' expects float32 \[2, 300\]; got float32 \[1, 300\]"),
        ([ones(2).astype(np.float64)], r"'x' expects float32 \[2, 300\]; got float64"),
        ([ones(2)[0]], r"'x' expects float32 \[2, 300\]; got float32 \[300\]"),
        ([ones(2).tolist()], "a numpy array; got list"),
        ([], "0 arrays came; the graph takes 1: x"),
        ([ones(2), ones(2)], "2 arrays came"),
        ({"z": ones(2)}, "input 'x' is missing; got z"),
        (ones(2), "must be a list of arrays, got ndarray"),
    ],
)
def test_a_wrong_input_is_named(product: Path, given: object, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Engine(product, batch_size=2)(given)
    with pytest.raises(ValueError, match=told):  # as DeepSparse's users catch it
        Engine(product, batch_size=2)(given)


def test_any_number_of_rows_is_run_by_batches(product: Path) -> None:
    engine, rows = Engine(product, batch_size=2), np.random.default_rng(0).random((5, 300), "f")
    whole = Engine(product, batch_size=None)([rows])[0]
    assert np.allclose(engine.batched_run([rows])[0], whole)


def test_shapes_are_the_callers_where_the_graph_leaves_them_open(tmp_path: Path) -> None:
    text = tiny.text_classification(tmp_path / "text")
    engine = Engine(text, batch_size=4, input_shapes=[[1, 8], [1, 8]])
    assert engine.input_shapes == [(4, 8), (4, 8)]
    assert [a.shape for a in engine.generate_random_inputs()] == [(4, 8), (4, 8)]
    assert engine(engine.generate_random_inputs())[0].shape == (4, 3)
    assert [a.shape for a in Engine(text).generate_random_inputs()] == [(1, 128), (1, 128)]
    with pytest.raises(PipelineError, match="input_shapes has 1 shapes; the graph takes input_ids"):
        Engine(text, input_shapes=[[1, 8]])
    with pytest.raises(PipelineError, match=r"'pixel_values' has the shape \['batch', 3, 4, 4\]"):
        Engine(tiny.image_classification(tmp_path / "i"), input_shapes=[[1, 3, 8, 8]])


def test_a_file_that_is_absent_or_no_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        Engine(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot load it"):
        Engine(tmp_path / "bad.onnx")


def test_benchmarks_tell_the_runs(product: Path) -> None:
    engine = Engine(product, batch_size=2)
    results = engine.benchmark(engine.generate_random_inputs(), 3, 1)
    assert (results.num_batches, len(results.batch_times)) == (3, 3)
    assert results.items_per_second == pytest.approx(6 / results.seconds)
    assert {"mean", "99.9%", "items_per_sec"} <= set(results.statistics())
    assert engine.benchmark_loader([[ones(2)], [ones(2)]], 3, 0).num_batches == 3


def test_a_context_bounds_the_runs_of_all_its_engines(product: Path) -> None:
    context = Context(num_cores=2, num_streams=2)
    first, second = (MultiModelEngine(product, 1, context) for _ in range(2))
    assert (first.num_cores, first.num_streams) == (2, 2)
    assert first.scheduler is Scheduler.elastic
    alone = Engine(product)([ones(1)])[0]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda e: e([ones(1)])[0], [first, second] * 8)
        assert all(np.allclose(y, alone) for y in found)
    with pytest.raises(PipelineError, match="num_cores is 1, and the context's is 2"):
        Engine(product, num_cores=1, context=context)


def test_schedulers_have_deepsparses_names() -> None:
    assert Scheduler.from_str("async") is Scheduler.multi_stream
    with pytest.raises(PipelineError, match="unknown scheduler 'x'; known: default, sync"):
        Scheduler.from_str("x")


def quantized(path: Path) -> tuple[Path, Array]:
    """A layer as SparseML exports it, pruned and quantised: weights, most of them 0, and
    activations through QuantizeLinear and DequantizeLinear. Its weights in float32, too."""
    weights = np.zeros((8, 4), np.int8)
    weights[::4] = np.arange(8).reshape(2, 4) - 3
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["y"]),
    ]
    tensors = {
        "xs": np.float32(0.5), "xz": np.uint8(0), "w": weights,
        "ws": np.float32(0.25), "wz": np.int8(0),
    }  # fmt: skip
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("x", 8), ("y", 4))
    )
    constants = [numpy_helper.from_array(np.asarray(a), name) for name, a in tensors.items()]
    graph = helper.make_graph(nodes, "quantized", [x], [y], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )
    return path, weights * np.float32(0.25)


def test_a_pruned_and_quantised_export_runs(tmp_path: Path) -> None:
    path, weights = quantized(tmp_path / "model.onnx")
    x = np.arange(16, dtype=np.float32).reshape(2, 8) / 2
    assert np.array_equal(Engine(path, batch_size=2)([x])[0], x @ weights)


def test_a_dynamically_quantised_graph_runs(tmp_path: Path) -> None:
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    last = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 4]) for n in "xy")
    model = helper.make_model(
        helper.make_graph([node, last], "dynamic", [x], [y]),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, str(tmp_path / "model.onnx"))
    engine = Engine(tmp_path, batch_size=1)
    assert engine.runner.batch_dependent
    assert np.allclose(engine([np.array([[0, 1, 2, 255]], "f")])[0], [[0, 1, 2, 255]])
