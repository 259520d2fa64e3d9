"""Attention as one operator: found by its shape in the graph, proved by its numbers, then replaced.

The search is a loose one, so that it finds the forms of several exporters (scores scaled before or
after the product, masks that are added or chosen with Where, one product for queries, keys and
values or three). What it finds is replaced only if it is proved (proof.py): relative positions,
causal masks and sliding windows are not, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from onnxferry.scripts.prepare.variants.attention_equivalence import (
    Candidate,
    Proved,
    merged,
    prove,
)
from onnxferry.scripts.prepare.variants.onnx_graph import MICROSOFT, Graph

_BETWEEN = ("Mul", "Div", "Add", "Where", "Identity", "Cast")  # the scores' way to Softmax
_HEADS = (
    "Transpose",
    "Reshape",
    "Mul",
    "Div",
    "Split",
    "Gather",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Identity",
    "Cast",
)
_STEPS = 12  # the longest way that is followed


def fuse_attention(graph: Graph) -> int:
    """Replace every attention that can be proved; how many those were."""
    found = [p for p in (prove(graph, c) for c in candidates(graph)) if p]
    replacements: dict[str, Sequence[Any]] = {
        p.candidate.output.name: [_operator(graph, p)] for p in found
    }
    masks = sorted({p.mask for p in found if p.mask})
    casts = [
        helper.make_node("Cast", [m], [_as_int32(m)], name=_as_int32(m), to=TensorProto.INT32)
        for m in masks
    ]
    if found:
        graph.uses(MICROSOFT)
        graph.replace(replacements, casts)
    return len(found)


def unfused(graph: Graph) -> int:
    """How many attentions are left as single operators: a product of two activations, Softmax,
    another product."""
    return sum(
        1
        for node in graph.nodes
        if node.op_type == "Softmax" and _product(graph, node.output[0]) is not None
    )


def candidates(graph: Graph) -> Iterator[Candidate]:
    for node in graph.nodes:
        if node.op_type == "Softmax" and (found := _candidate(graph, node)):
            yield found


def _candidate(graph: Graph, softmax: Any) -> Candidate | None:
    scores = _scores(graph, softmax.input[0])
    second = _product(graph, softmax.output[0])
    end = _follow(graph, second, ("Transpose", "Reshape")) if second is not None else None
    if scores is None or second is None or end is None:
        return None
    names = (scores.input[0], scores.input[1], second.input[1])
    sides = [_projection(graph, name) for name in names]
    known = [side for side in sides if side]
    if len(known) < 3 or len({x for x, _, _ in known}) > 1:
        return None
    unique = list(dict.fromkeys(known))
    if len(unique) not in (1, 3):
        return None
    name = softmax.name.removesuffix("Softmax") + "Attention"
    weights, biases = tuple(w for _, w, _ in unique), tuple(b for _, _, b in unique)
    return Candidate(name, known[0][0], end, scores.input[0], weights, biases)


def _scores(graph: Graph, name: str, steps: int = _STEPS) -> Any | None:
    """The product of two activations that a tensor comes from, by scaling and masking only."""
    node = graph.producer(name)
    if node is None or not steps:
        return None
    if node.op_type == "MatMul":
        return None if any(map(graph.is_constant, node.input)) else node
    if node.op_type not in _BETWEEN:
        return None
    ways = (_scores(graph, way, steps - 1) for way in node.input)
    return next((found for found in ways if found is not None), None)


def _product(graph: Graph, name: str) -> Any | None:
    """The product whose left side is a tensor, as it is or with NaN replaced."""
    for node in graph.consumers(name):
        if (
            node.op_type == "MatMul"
            and node.input[0] == name
            and not graph.is_constant(node.input[1])
        ):
            return node
        if node.op_type in ("Identity", "Cast", "Where", "Dropout", "Reshape"):
            return _product(graph, node.output[0])
    return None


def _follow(graph: Graph, node: Any, ops: Sequence[str]) -> Any | None:
    """The node at the end of a chain of `ops`, each the only reader but for its shape; None if it
    is another chain."""
    for op in ops:
        readers = [n for n in graph.consumers(node.output[0]) if n.op_type != "Shape"]
        if len(readers) != 1 or readers[0].op_type != op:
            return None
        node = readers[0]
    return node


def _projection(graph: Graph, name: str) -> tuple[str, str, str | None] | None:
    """(input, weights, bias) of the linear layer that one side of a product comes from."""
    bias = None
    for _ in range(_STEPS):
        node = graph.producer(name)
        if node is None:
            return None
        if node.op_type == "MatMul":
            return (
                (node.input[0], node.input[1], bias) if _is_matrix(graph, node.input[1]) else None
            )
        constant, ways = _split(graph, node)
        if node.op_type == "Add" and constant and bias is None:
            bias = constant
        elif node.op_type not in _HEADS:
            return None
        if not ways:
            return None
        name = ways[0]
    return None


def _split(graph: Graph, node: Any) -> tuple[str | None, list[str]]:
    """The first constant that a node reads, and what else it reads."""
    constants = [name for name in node.input if name and graph.is_constant(name)]
    return (constants[0] if constants else None), [
        name for name in node.input if name and name not in constants
    ]


def _is_matrix(graph: Graph, name: str) -> bool:
    value = graph.constant(name)
    return value is not None and value.ndim == 2 and value.dtype == np.float32


def _operator(graph: Graph, proved: Proved) -> Any:
    candidate, (weights, bias) = proved.candidate, merged(graph, proved.candidate)
    scaling = np.ones(bias.shape, np.float32)
    scaling[: len(bias) // 3] = proved.factor
    # layers may share their weights
    key = "+".join([*candidate.weights, *(b or "" for b in candidate.biases)])
    inputs = [
        candidate.x,
        graph.add(f"{key}.qkv", weights * scaling),
        graph.add(f"{key}.qkv_bias", bias * scaling),
    ]
    inputs += [_as_int32(proved.mask)] if proved.mask else []
    return helper.make_node(
        "Attention",
        inputs,
        list(candidate.output.output),
        candidate.name,
        domain=MICROSOFT,
        num_heads=proved.heads,
    )


def _as_int32(mask: str) -> str:
    return f"{mask}_int32"
