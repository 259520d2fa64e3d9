"""Attention as one operator: found by its shape in the graph, proved by its numbers, then replaced.

The search is a loose one, so that it finds the forms of several exporters (scores scaled before or
after the product, masks that are added or chosen with Where, one product for queries, keys and
values or three). What it finds is replaced only if it is proved (attention_equivalence): relative
positions, causal masks and sliding windows are not, and stay as they are.
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


def fuse_attention(graph: ir.Graph) -> int:
    """Replace every attention that can be proved; how many those were."""
    candidates = [c for node in graph if (c := _candidate(node))]
    proved = [p for candidate in candidates if (p := prove(graph, candidate))]
    masks = dict.fromkeys(p.mask for p in proved if p.mask)
    int32 = {
        mask: prepend(graph[0], "Cast", [mask], f"{mask.name}_int32", to=ir.DataType.INT32)
        for mask in masks
    }
    for attention in proved:
        _replace(graph, attention, int32[attention.mask] if attention.mask else ())
    return len(proved)


def unfused(graph: ir.Graph) -> int:
    """How many attentions are left as single operators: a product of two activations, Softmax,
    another product."""
    return sum(1 for node in graph if node.op_type == "Softmax" and _product(node.outputs[0]))


def _candidate(softmax: ir.Node) -> AttentionCandidate | None:
    if softmax.op_type != "Softmax":
        return None
    scores, second = _scores(softmax.inputs[0]), _product(softmax.outputs[0])
    end = _follow(second, ("Transpose", "Reshape")) if second else None
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
    """The product of two activations that a tensor comes from, by scaling and masking only."""
    node = value.producer() if value else None
    if node is None or not steps:
        return None
    if node.op_type == "MatMul":
        return node if all(constant(v) is None for v in node.inputs) else None
    if node.op_type not in _TO_SOFTMAX:
        return None
    return next((found for v in node.inputs if (found := _scores(v, steps - 1))), None)


def _product(value: ir.Value) -> ir.Node | None:
    """The product whose left side is a tensor, as it is or with NaN replaced."""
    for node in value.consumers():
        if node.op_type == "MatMul" and node.inputs[0] is value:
            if constant(node.inputs[1]) is None:
                return node
        elif node.op_type in _AFTER_SOFTMAX:
            return _product(node.outputs[0])
    return None


def _follow(node: ir.Node, ops: Sequence[str]) -> ir.Node | None:
    """The node at the end of a chain of `ops`, each the only reader but for its shape; None if it
    is another chain."""
    for op in ops:
        readers = [n for n in node.outputs[0].consumers() if n.op_type != "Shape"]
        if len(readers) != 1 or readers[0].op_type != op:
            return None
        node = readers[0]
    return node


def _projection(value: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value | None] | None:
    """(input, weights, bias) of the linear layer that a side of a product comes from."""
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


def _replace(graph: ir.Graph, proved: ProvedAttention, mask: Sequence[ir.Value]) -> None:
    candidate, (weights, bias) = proved.candidate, proved.candidate.merged()
    scaling = np.ones(bias.shape, np.float32)
    scaling[: len(bias) // 3] = proved.factor
    # layers may share their weights
    key = "+".join(str(v.name) if v else "" for v in (*candidate.weights, *candidate.biases))
    inputs = [
        candidate.x,
        add_weight(graph, f"{key}.qkv", weights * scaling),
        add_weight(graph, f"{key}.qkv_bias", bias * scaling),
        *mask,
    ]
    rewrite(candidate.output, "Attention", inputs, MICROSOFT, num_heads=proved.heads)
    candidate.output.name = candidate.name
