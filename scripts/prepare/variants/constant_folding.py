"""What a graph computes from weights alone, computed once.

Only where linear layers are in it, such as DeBERTa's projected relative positions: onnxruntime
folds the rest as it loads a graph, but no linear layer that became int8, which would lose accuracy
for nothing, and keep the weights that it shares with another from being smoothed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import add_weight

_LINEAR = ("MatMul", "Gemm")
_STANDARD = ("", "ai.onnx")


def fold_constants(graph: ir.Graph, opset: int) -> int:
    """Replace each tensor that linear layers make of weights alone by its numbers; how many."""
    constant = _constant_nodes(graph)
    values = [
        value
        for value in _ends(graph, constant)
        if any(node.op_type in _LINEAR for node in _cone(value, constant))
    ]
    for value, numbers in zip(values, _computed(graph, values, opset), strict=True):
        weight = add_weight(graph[0], f"{value.name}_folded", numbers)
        value.replace_all_uses_with(weight)
    return len(values)


def _constant_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The operators that depend on no input of the graph."""
    found: set[ir.Node] = set()
    for node in graph:
        known = all(
            value is None or value.is_initializer() or value.producer() in found
            for value in node.inputs
        )
        if known and _is_repeatable(node):
            found.add(node)
    return found


def _is_repeatable(node: ir.Node) -> bool:
    inner = any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values())
    return node.domain in _STANDARD and not inner and not node.op_type.startswith("Random")


def _ends(graph: ir.Graph, constant: set[ir.Node]) -> Iterator[ir.Value]:
    """Where what is constant meets what is not."""
    for node in graph:
        if node in constant and node.op_type != "Constant":
            for value in node.outputs:
                used = any(reader not in constant for reader in value.consumers())
                if used and not value.is_graph_output():
                    yield value  # float32, as what a linear layer makes is


def _cone(value: ir.Value, constant: set[ir.Node]) -> set[ir.Node]:
    """All operators that `value` is made by."""
    found: set[ir.Node] = set()
    waiting = [value.producer()]
    while waiting:
        node = waiting.pop()
        if node in constant and node not in found:
            found.add(node)
            waiting += [v.producer() for v in node.inputs if v]
    return found


def _computed(graph: ir.Graph, values: Sequence[ir.Value], opset: int) -> Sequence[Array]:
    """The tensors' numbers: float32 computed as float64, so that they are the same everywhere."""
    if not values:
        return ()
    part = ir.convenience.extract(graph, [], values)
    for weight in part.initializers.values():
        weight.const_value = _wide(weight.const_value)
    for node in part:
        if tensor := node.attributes.get_tensor("value", None):
            node.attributes.add(ir.AttrTensor("value", _wide(tensor)))
    for output in part.outputs:
        output.type, output.shape = ir.TensorType(ir.DataType.DOUBLE), None
    model = ir.Model(part, ir_version=8)
    model.opset_imports[""] = opset
    numbers = ReferenceEvaluator(ir.to_proto(model)).run(None, {})
    return [array.astype(np.float32) for array in numbers]


def _wide(tensor: ir.TensorProtocol | None) -> ir.TensorProtocol:
    """In memory, float32 as float64."""
    array = tensor.numpy() if tensor else np.array([])
    return ir.tensor(array.astype(np.float64) if array.dtype == np.float32 else array)
