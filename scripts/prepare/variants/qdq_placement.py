"""Which operators of a graph with convolutions become int8, and which tensors uint8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants.linear_layers import is_linear
from onnxferry.scripts.prepare.variants.onnx_graph import constant, operand

# whose result holds numbers of the first input, so has its scale
_SAME_NUMBERS = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose")
_COMPUTING = ("Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid")


@dataclass(frozen=True)
class QdqPlacement:
    """`layers`: the operators with weights that run in int8. `tensors`: what is stored as uint8 ->
    where it is taken: before limits such as Relu, which the uint8's range replaces. `same_numbers`:
    a tensor -> the one whose numbers it holds."""

    layers: tuple[ir.Node, ...]
    tensors: Mapping[ir.Value, ir.Value]
    same_numbers: Mapping[ir.Value, ir.Value]

    def source(self, value: ir.Value) -> ir.Value:
        """The tensor whose range `value` has."""
        return self.source(self.same_numbers[value]) if value in self.same_numbers else value

    @property
    def channels(self) -> dict[str, int]:
        """The tensors whose range is needed -> the axis of their channels."""
        convolved = {operand(node, 0) for node in self.layers if node.op_type == "Conv"}
        return {str(value.name): 1 if value in convolved else -1 for value in self.tensors}


def convolutions(graph: ir.Graph) -> list[ir.Node]:
    """The convolutions whose weights are float32 constants."""
    return [node for node in graph if _is_convolution(node)]


def place_qdq(graph: ir.Graph, keep: frozenset[str]) -> QdqPlacement:
    """What runs in int8 where the operators in `keep` do not."""
    layers = [node for node in graph if node.name not in keep and _has_weights(node)]
    stored = {operand(node, 0) for node in layers}
    stored |= {_after_limits(node.outputs[0]) for node in layers if node.op_type == "Conv"}
    same: dict[ir.Value, ir.Value] = {}
    for node in graph:
        moves = node.op_type in _SAME_NUMBERS
        computed = node.inputs[:1] if moves else node.inputs
        if (moves or node.op_type in _COMPUTING) and stored.issuperset(computed):
            end = _after_limits(node.outputs[0])
            stored.add(end)
            if moves:
                same[end] = operand(node, 0)
    tensors = {value: _before_limits(value) for value in sorted(stored, key=lambda v: str(v.name))}
    return QdqPlacement(tuple(layers), tensors, same)


def _has_weights(node: ir.Node) -> bool:
    return _is_convolution(node) or (node.op_type in ("MatMul", "Gemm") and is_linear(node))


def _is_convolution(node: ir.Node) -> bool:
    if node.op_type != "Conv":
        return False
    weights, bias = constant(node.inputs[1]), (*node.inputs, None)[2]
    is_float = weights is not None and weights.dtype == np.float32
    return is_float and (bias is None or constant(bias) is not None)


def _after_limits(value: ir.Value) -> ir.Value:
    """`value` after its limits, if they are all that reads it."""
    readers = value.consumers()
    if len(readers) == 1 and not value.is_graph_output() and _limits(readers[0]):
        return readers[0].outputs[0]
    return value


def _before_limits(value: ir.Value) -> ir.Value:
    """What `value` limits, or itself."""
    node = value.producer()
    source = node.inputs[0] if node and node.inputs else None
    if source is None or value.is_graph_output():
        return value
    return source if _after_limits(source) is value else value


def _limits(node: ir.Node) -> bool:
    """Whether a node only cuts off numbers at limits around zero."""
    if node.op_type != "Clip":
        return node.op_type == "Relu"
    ends = (*node.inputs[1:], None, None)[:2]
    low, high = (0 if value is None else constant(value) for value in ends)
    return low is not None and high is not None and float(low) <= 0 <= float(high)
