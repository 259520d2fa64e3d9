"""The linear layers that int8 has an operator for."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import constant, held_by, is_matrix, weight


def linear_layers(graph: ir.Graph) -> list[ir.Node]:
    """The layers in the order of the graph."""
    return [node for node in graph if is_linear(node)]


def is_linear(node: ir.Node) -> bool:
    """Whether the weights are a matrix of float32 constants, the rest as int8 operators have it."""
    return (
        node.op_type in ("MatMul", "Gemm", "Attention")
        and weight(node.inputs[0]) is None
        and is_matrix(node.inputs[1])
        and (node.op_type != "Gemm" or _is_plain(node))
    )


def matrix(node: ir.Node) -> Callable[[], Array]:
    """What reads a layer's weights, float32 [inputs, outputs], also after the node is rewritten."""
    held, transposed = held_by(node.inputs[1]), is_transposed(node)
    return lambda: held.read().T if transposed else held.read()


def is_transposed(node: ir.Node) -> bool:
    """Whether a layer's weights are stored as [outputs, inputs]."""
    return bool(node.attributes.get_int("transB", 0))


def _is_plain(node: ir.Node) -> bool:
    """Whether a Gemm is a product and at most a bias of one number a column."""
    given, bias = node.attributes, (*node.inputs, None)[2]
    array = constant(bias)
    is_row = bias is None or (array is not None and array.ndim == 1)
    scaled = given.get_float("alpha", 1.0) != 1 or given.get_float("beta", 1.0) != 1
    return is_row and not scaled and not given.get_int("transA", 0)
