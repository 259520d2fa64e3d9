"""Which operators are linear layers that int8 has an operator for."""

from __future__ import annotations

import onnx_ir as ir

from onnxferry.scripts.prepare.variants.onnx_graph import constant, is_matrix

_OPERATORS = ("MatMul", "Gemm", "Attention")


def linear_layers(graph: ir.Graph) -> list[ir.Node]:
    """The operators that can be quantised, in the order of the graph."""
    return [node for node in graph if is_linear(node)]


def is_linear(node: ir.Node) -> bool:
    """Whether the weights are one matrix of float32 constants, and the rest is as the int8 operator
    has it."""
    return (
        node.op_type in _OPERATORS
        and constant(node.inputs[0]) is None
        and is_matrix(node.inputs[1])
        and (node.op_type != "Gemm" or _is_plain(node))
    )


def is_transposed(node: ir.Node) -> bool:
    """Whether a layer's weights are stored as [outputs, inputs]."""
    return bool(node.attributes.get_int("transB", 0))


def _is_plain(node: ir.Node) -> bool:
    """Whether a Gemm is a product and at most a bias of one number a column."""
    given = node.attributes
    if given.get_float("alpha", 1.0) != 1 or given.get_float("beta", 1.0) != 1:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(bias)
    return not given.get_int("transA", 0) and (
        bias is None or (array is not None and array.ndim == 1)
    )
