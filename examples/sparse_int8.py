"""A pruned float32 graph in int8, in the form that DeepSparse runs: what SparseML made of a model
trained with quantisation. DeepSparse 1.8 does not load ONNX Runtime's own int8 forms.

Each linear layer becomes QuantizeLinear, MatMulInteger, an int32 bias, Cast and a factor; products
of two activations the same without a bias; embeddings are gathered in 8 bits. One scale a tensor;
a zero stays zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
LEVELS = 255


class IntegerGraph:
    """The rewriting of one graph; `ranges`: the least and most of each activation."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._graph, self._ranges = model.graph, ranges
        self._weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._consumers = {n: node for node in model.graph.node for n in node.input}
        self._done: dict[str, tuple[str, str, float]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._skipped: set[str] = set()

    def rewrite(self) -> None:
        """In place."""
        for node in self._graph.node:
            if node.op_type == "MatMul":
                self._multiply(node)
            elif node.op_type == "Gather" and self._is_table(node):
                self._gather(node)
            elif node.output[0] not in self._skipped:
                self._nodes.append(node)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        kept = [t for t in self._graph.initializer if t.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def _is_table(self, node: onnx.NodeProto) -> bool:
        table = self._weights.get(node.input[0])
        return table is not None and table.ndim == 2 and table.dtype == np.float32

    def _gather(self, node: onnx.NodeProto) -> None:
        name, zero, scale = self._integers(node.input[0])
        self._add("Gather", [name, node.input[1]], f"{node.output[0]}_int")
        inputs = [f"{node.output[0]}_int", self._constant(name, "scale", np.float32(scale)), zero]
        self._add("DequantizeLinear", inputs, node.output[0])

    def _multiply(self, node: onnx.NodeProto) -> None:
        (left, left_zero, a), (right, right_zero, b) = map(self._integers, node.input)
        product, factor = f"{node.output[0]}_int", np.float32(a * b)
        self._add("MatMulInteger", [left, right, left_zero, right_zero], product)
        target, bias = self._bias(node)
        if bias is not None:
            steps = np.round(bias / factor).astype(np.int32)
            constant = self._constant(node.output[0], "bias", steps)
            self._add("Add", [product, constant], f"{product}_biased")
            product = f"{product}_biased"
        self._add("Cast", [product], f"{product}_float", to=onnx.TensorProto.FLOAT)
        scale = self._constant(node.output[0], "factor", factor)
        self._add("Mul", [f"{product}_float", scale], target)

    def _bias(self, node: onnx.NodeProto) -> tuple[str, Array | None]:
        """Where the product goes, and what the addition that follows adds; it is then left out."""
        after = self._consumers[node.output[0]]
        given = [self._weights[n] for n in after.input if n in self._weights]
        if after.op_type != "Add" or not given:
            return node.output[0], None
        self._skipped.add(after.output[0])
        return after.output[0], given[0]

    def _integers(self, name: str) -> tuple[str, str, float]:
        """The names of a tensor in integers and of its zero point, and its scale."""
        if name not in self._done:
            weight = self._weights.get(name)
            self._done[name] = self._activation(name) if weight is None else self._weight(name)
        return self._done[name]

    def _weight(self, name: str) -> tuple[str, str, float]:
        values = self._weights[name]
        scale = float(np.abs(values).max()) / (LEVELS // 2)
        steps = (np.round(values / scale) + 128).astype(np.uint8)
        zero = self._constant(name, "zero", np.uint8(128))
        return self._constant(name, "uint8", steps), zero, scale

    def _activation(self, name: str) -> tuple[str, str, float]:
        least, most = self._ranges[name]
        scale = (max(most, 0.0) - min(least, 0.0)) / LEVELS
        zero = self._constant(name, "zero", np.uint8(round(-min(least, 0.0) / scale)))
        inputs = [name, self._constant(name, "scale", np.float32(scale)), zero]
        self._add("QuantizeLinear", inputs, f"{name}_uint8")
        return f"{name}_uint8", zero, scale

    def _constant(self, name: str, what: str, value: Any) -> str:
        made = f"{name}_{what}"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), made))
        return made

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))


def ranges(model: onnx.ModelProto, runs: Sequence[Mapping[str, Array]]) -> dict[str, Any]:
    """The least and most of all inputs of products over `runs`."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    constants = {t.name for t in model.graph.initializer}
    multiplied = (n for node in model.graph.node if node.op_type == "MatMul" for n in node.input)
    names = [name for name in dict.fromkeys(multiplied) if name not in constants]
    watched.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = _session(watched.SerializeToString())
    taken = [node.name for node in session.get_inputs()]
    found: dict[str, Any] = {}
    for feeds in runs:
        given = {name: feeds[name] for name in taken}
        for name, values in zip(names, session.run(names, given), strict=True):
            least, most = found.get(name, (0.0, 0.0))
            found[name] = min(least, float(values.min())), max(most, float(values.max()))
    return found


def _session(graph: Any, optimized: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])


def samples(
    count: int = 4, length: int = 128, ids: tuple[int, int] = (1000, 30000)
) -> Iterator[dict[str, Array]]:
    """Random tokens, seeded: the graphs of examples/benchmark.py have random weights. Arrays
    [1, length]."""
    random = np.random.default_rng(0)
    for _ in range(count):
        ones = np.ones((1, length), np.int64)
        tokens = random.integers(*ids, (1, length))
        yield {"input_ids": tokens, "attention_mask": ones, "token_type_ids": 0 * ones}


def quantise(source: Path, out: Path, runs: Sequence[Mapping[str, Array]]) -> None:
    """Write the graph `source` to `out` in this form, with the scales of what `runs` ask it."""
    _session(str(source), out)  # constants folded, the weights' names told plainly
    model = onnx.load(out)
    _as_old_as(onnx.load(source), model)
    IntegerGraph(model, ranges(model, runs)).rewrite()
    onnx.save(model, out)


def _as_old_as(source: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """ONNX Runtime stamps what it writes with its own versions, which DeepSparse refuses."""
    model.ir_version = source.ir_version
    del model.opset_import[:]
    model.opset_import.extend(source.opset_import)
