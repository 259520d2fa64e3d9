"""The end of a graph that reads the first token alone, computed for that token alone.

A classifier's head reads hidden[:, 0] of the last layer. What works on each token by itself gives
the same for a token that is taken before it as after it; so the token is taken as early as it can
be: from the residual and, with one query instead of one a token, from the last attention, which
needs the keys and values of all tokens. Found by its shape in the graph, proved by its numbers.
DistilBERT's int8 is 1.03 to 1.23 times as fast by shape (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.attention_equivalence import SHAPES, random_inputs
from onnxferry.scripts.prepare.variants.onnx_graph import (
    MICROSOFT,
    add_weight,
    constant,
    held_by,
    is_matrix,
    new_node,
    operand,
    prepend,
    weight,
)
from onnxferry.scripts.prepare.variants.subgraph import run

TOLERANCE = 1e-4  # of the largest number: products of one row may add up in another order
_BY_NUMBER = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sqrt", "Erf", "Tanh", "Relu", "Sigmoid"),
    *("Gelu", "FastGelu", "BiasGelu", "QuickGelu", "Cast", "Identity", "Neg", "Clip"),
)
_BY_ROW = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")


@dataclass(frozen=True)
class FirstTokenPart:
    """What only the first token is read of: the operators `rows`, which work on each token by
    itself, the `attentions` before them, and the operators `takes` that take the token."""

    takes: tuple[ir.Node, ...]
    rows: tuple[ir.Node, ...]
    attentions: tuple[ir.Node, ...]

    def before(self) -> Iterator[tuple[ir.Node, int, ir.Value]]:
        """Where all tokens come in: the operator, which input, the tensor."""
        own = {node.outputs[0] for node in self.rows}
        for node in self.rows:
            for i, value in enumerate(node.inputs):
                if value and value not in own and weight(value) is None:
                    yield node, i, value

    def begins_with(self, tokens: Container[str]) -> bool:
        """Whether all that comes in is known to be [batch, tokens, width]."""
        made = {node.outputs[0] for node in self.attentions}
        return all(value in made or value.name in tokens for _, _, value in self.before())


def take_first_early(graph: ir.Graph, tokens: Container[str]) -> int:
    """Take the first token as early as that is proved to give the same; before how many linear
    layers. `tokens`: the names of tensors that are [batch, tokens, width] for sure, what attention
    makes apart. The new form is put beside the old one: what is not used is not written."""
    part = _part(graph)
    layers = sum(node.op_type == "MatMul" for node in part.rows)
    starts = _random_starts(graph, part) if layers and part.begins_with(tokens) else []
    if not starts:
        return 0
    ends = [node.outputs[0] for node in part.takes]
    want = _numbers(graph, ends, starts)
    replaced = [(node, i, value) for node, i, value in part.before()]
    firsts: dict[ir.Value, ir.Value] = {}
    for node, i, value in replaced:
        node.replace_input_with(i, _first(value, part, firsts))
    if _same(want, _numbers(graph, ends, starts)):
        return layers
    for node, i, value in replaced:
        node.replace_input_with(i, value)
    return 0


def _part(graph: ir.Graph) -> FirstTokenPart:
    takes = tuple(node for node in graph if _takes_first(node))
    read, rows, attentions = set(takes), list[ir.Node](), list[ir.Node]()
    for node in reversed(graph):
        readers = [reader for value in node.outputs for reader in value.consumers()]
        is_output = any(value.is_graph_output() for value in node.outputs)
        if not readers or is_output or not read.issuperset(readers):
            continue
        if _is_plain_attention(node):
            attentions.append(node)
        elif node not in read and _is_by_row(node):
            rows.append(node)
            read.add(node)
    made = {node.outputs[0] for node in (*rows, *attentions)}
    ends = tuple(node for node in takes if node.inputs[0] in made)
    return FirstTokenPart(ends, tuple(reversed(rows)), tuple(attentions))


def _takes_first(node: ir.Node) -> bool:
    """Whether a node is [:, 0]."""
    index = constant(node.inputs[1]) if node.op_type == "Gather" else None
    return index is not None and node.attributes.get_int("axis", 0) == 1 and not index.any()


def _is_by_row(node: ir.Node) -> bool:
    """Whether each token's result is of that token alone."""
    if len(node.outputs) != 1:
        return False
    if node.op_type == "MatMul":
        return is_matrix(node.inputs[1]) and weight(node.inputs[0]) is None
    if node.op_type in _BY_ROW:
        return node.attributes.get_int("axis", -1) == -1
    return node.op_type in _BY_NUMBER and all(map(_is_for_each, node.inputs))


def _is_for_each(value: ir.Value | None) -> bool:
    """Whether a constant, if it is one, is the same for each token."""
    found = weight(value)
    return found is None or len(found.shape) < 2 or found.shape[-2] == 1


def _is_plain_attention(node: ir.Node) -> bool:
    """Whether an attention has only what attention_fusion gives it."""
    return (
        node.op_type == "Attention"
        and len(node.inputs) <= 4
        and set(node.attributes) == {"num_heads"}
        and all(weight(value) is not None for value in node.inputs[1:3])
    )


def _first(value: ir.Value, part: FirstTokenPart, firsts: dict[ir.Value, ir.Value]) -> ir.Value:
    """The first token [batch, 1, width] of `value`, made where that is made."""
    if value not in firsts:
        node = value.producer()
        if node is not None and node in part.attentions:
            firsts[value] = _single_query(node, part, firsts)
        else:
            firsts[value] = _gathered(value)
    return firsts[value]


def _gathered(value: ir.Value) -> ir.Value:
    node = value.producer()
    if node is None or node.graph is None:
        raise ValueError(f"{value} is made by no operator")
    index = add_weight(node, "first_token", np.array([0], np.int64))
    taken = new_node("Gather", [value, index], f"{value.name}_first", axis=1)
    node.append(taken)
    return taken.outputs[0]


def _single_query(
    node: ir.Node, part: FirstTokenPart, firsts: dict[ir.Value, ir.Value]
) -> ir.Value:
    """An attention's result for the first token: its own operators, where it was."""
    x, bias, mask = operand(node, 0), operand(node, 2), (*node.inputs, None)[3]
    weights = held_by(node.inputs[1]).numpy()
    width = weights.shape[1] // 3
    projected: list[ir.Value | None] = []
    for i, name in enumerate(("query", "key", "value")):
        own = add_weight(node, f"{node.name}/{name}", weights[:, i * width : (i + 1) * width])
        source = x if i else _first(x, part, firsts)
        projected += prepend(node, "MatMul", [source, own], f"{node.name}/{name}/MatMul")
    inputs = [*projected, bias, *([mask] if mask else [])]
    heads, name = node.attributes.get_int("num_heads"), f"{node.name}_first"
    made = new_node("MultiHeadAttention", inputs, name, num_heads=heads)
    made.domain = MICROSOFT
    node.prepend(made)
    return made.outputs[0]


def _random_starts(graph: ir.Graph, part: FirstTokenPart) -> list[dict[ir.Value, Array]]:
    """Random numbers where all tokens come in, and the graph's inputs as masks; none where a width
    is not known."""
    values = [value for _, _, value in part.before()]
    attentions = {node.outputs[0]: node for node in part.attentions}
    widths: dict[ir.Value, int] = {}
    for value in values:
        if value in attentions:
            node = attentions[value]
            widths[operand(node, 0)] = held_by(node.inputs[1]).shape[0]
        else:
            widths[value] = _width(value, part)
    return [] if 0 in widths.values() else [_draw(graph, shape, widths) for shape in SHAPES]


def _draw(
    graph: ir.Graph, shape: tuple[int, int], widths: dict[ir.Value, int]
) -> dict[ir.Value, Array]:
    draw, feeds = np.random.default_rng(0), random_inputs(graph, shape)
    for value, width in widths.items():
        feeds[value] = draw.standard_normal((*shape, width)).astype(np.float32)
    return feeds


def _width(value: ir.Value, part: FirstTokenPart) -> int:
    """The size of each token's row, as the next operator with weights has it; 0: not known."""
    waiting = [value]
    for found in waiting:
        for node in found.consumers():
            if node.op_type in ("MatMul", *_BY_ROW) and node in part.rows:
                return int(held_by(node.inputs[1]).shape[0])
            if node in part.rows:
                waiting += node.outputs
    return 0


def _numbers(
    graph: ir.Graph, ends: Sequence[ir.Value], starts: Sequence[dict[ir.Value, Array]]
) -> list[list[Array]]:
    """None where onnxruntime refuses them."""
    try:
        return list(run(graph, ends, starts))
    except Exception:  # onnxruntime's errors have no common base
        return []


def _same(want: Sequence[Sequence[Array]], got: Sequence[Sequence[Array]]) -> bool:
    pairs = [pair for a, b in zip(want, got, strict=False) for pair in zip(a, b, strict=True)]
    return bool(pairs) and len(want) == len(got) and all(_close(a, b) for a, b in pairs)


def _close(want: Array, got: Array) -> bool:
    same = want.shape == got.shape
    return same and bool(np.abs(want - got).max() <= TOLERANCE * np.abs(want).max())
