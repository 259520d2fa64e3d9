"""Attention as one operator: found by its shape in the graph, proved by its numbers, then replaced.

The search is loose, to find the forms of several exporters (scores scaled before or after the
product, masks added or chosen with Where, one product for queries, keys and values or three). Only
what is proved (attention_equivalence) is replaced: no relative positions, causal masks or windows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants.attention_equivalence import (
    AttentionCandidate,
    ProvedAttention,
    prove,
)
from onnxferry.scripts.prepare.variants.onnx_graph import (
    MICROSOFT,
    add_weight,
    constant,
    is_matrix,
    operand,
    prepend,
    rewrite,
)

_TO_SOFTMAX = ("Mul", "Div", "Add", "Where", "Identity", "Cast")  # from the scores
_AFTER_SOFTMAX = ("Identity", "Cast", "Where", "Dropout", "Reshape")
_TO_HEADS = (
    *("Transpose", "Reshape", "Mul", "Div", "Split", "Gather", "Squeeze", "Unsqueeze"),
    *("Slice", "Identity", "Cast"),
)
_MAX_STEPS = 12  # the longest chain of operators that is followed


def fuse_attention(graph: ir.Graph) -> None:
    """Replace every attention that can be proved."""
    candidates = [c for node in graph if (c := _candidate(node))]
    proved = [p for candidate in candidates if (p := prove(graph, candidate))]
    int32: dict[ir.Value | None, Sequence[ir.Value]] = {None: ()}
    for attention in proved:
        mask = attention.mask
        if mask and mask not in int32:
            name = f"{mask.name}_int32"
            int32[mask] = prepend(graph[0], "Cast", [mask], name, to=ir.DataType.INT32)
        _replace(attention, int32[mask])


def unfused(graph: ir.Graph) -> list[ir.Node]:
    """The Softmax of each attention that is left as single operators: a product follows."""
    return [n for n in graph if n.op_type == "Softmax" and _product(n.outputs[0])]


def _candidate(softmax: ir.Node) -> AttentionCandidate | None:
    if softmax.op_type != "Softmax":
        return None
    scores, second = _scores(softmax.inputs[0]), _product(softmax.outputs[0])
    end = _end(second) if second else None
    if not scores or not second or not end:
        return None
    query = operand(scores, 0)
    sides = [_projection(value) for value in (query, operand(scores, 1), operand(second, 1))]
    unique = list(dict.fromkeys(side for side in sides if side))
    if None in sides or len({x for x, _, _ in unique}) > 1 or len(unique) == 2:
        return None
    (x, *_), *_ = unique
    name = str(softmax.name).removesuffix("Softmax") + "Attention"
    weights, biases = tuple(w for _, w, _ in unique), tuple(b for _, _, b in unique)
    return AttentionCandidate(name, x, end, query, weights, biases)


def _scores(value: ir.Value | None, steps: int = _MAX_STEPS) -> ir.Node | None:
    """The product of two activations that `value` is before scaling and masking."""
    node = value.producer() if value else None
    if node is None or not steps:
        return None
    if node.op_type == "MatMul":
        return node if all(constant(v) is None for v in node.inputs) else None
    if node.op_type not in _TO_SOFTMAX:
        return None
    return next((found for v in node.inputs if (found := _scores(v, steps - 1))), None)


def _product(value: ir.Value) -> ir.Node | None:
    """The product whose left side is `value`, as it is or with NaN replaced."""
    for node in value.consumers():
        if node.op_type == "MatMul" and node.inputs[0] is value:
            if constant(node.inputs[1]) is None:
                return node
        elif node.op_type in _AFTER_SOFTMAX:
            return _product(node.outputs[0])
    return None


def _end(node: ir.Node) -> ir.Node | None:
    """Where heads are joined again after `node`, which a Reshape of the same shape may follow: each
    operator the only reader but for Shape."""
    awaited = ["Transpose", "Reshape"]
    while awaited:
        readers = [n for n in node.outputs[0].consumers() if n.op_type != "Shape"]
        if len(readers) != 1 or readers[0].op_type not in ("Reshape", awaited[0]):
            return None
        node = readers[0]
        if node.op_type == awaited[0]:
            awaited.pop(0)
    return node


def _projection(value: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value | None] | None:
    """(input, weights, bias) of the linear layer that `value` comes from."""
    bias = None
    for _ in range(_MAX_STEPS):
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "MatMul":
            x, weights = operand(node, 0), operand(node, 1)
            return (x, weights, bias) if is_matrix(weights) else None
        constants = [v for v in node.inputs if v and constant(v) is not None]
        others = [v for v in node.inputs if v and v not in constants]
        if node.op_type == "Add" and constants and bias is None:
            bias = constants[0]
        elif node.op_type not in _TO_HEADS:
            return None
        if not others:
            return None
        value = others[0]
    return None


def _replace(proved: ProvedAttention, mask: Sequence[ir.Value]) -> None:
    candidate, node = proved.candidate, proved.candidate.output
    weights, bias = candidate.merged()
    scaling = np.repeat(np.array([proved.factor, 1, 1], np.float32), len(bias) // 3)
    # layers may share their weights
    key = "+".join(str(v.name) if v else "" for v in (*candidate.weights, *candidate.biases))
    qkv = add_weight(node, f"{key}.qkv", weights * scaling)
    qkv_bias = add_weight(node, f"{key}.qkv_bias", bias * scaling)
    inputs = [candidate.x, qkv, qkv_bias, *mask]
    rewrite(node, "Attention", inputs, MICROSOFT, num_heads=proved.heads)
    node.name = candidate.name
