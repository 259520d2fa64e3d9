"""Relative positions of DeBERTa's kind, computed for the positions that a text has.

Its attention multiplies each token with all positions that the model knows (512), and takes from
the products those that each pair of tokens has. A text of 64 tokens has 127 different ones. So the
table of positions is cut to these first; what is taken is proved to be the same numbers. DeBERTa
is 1.3 times as fast for 4 x 64 tokens, its int8 1.35 times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.attention_equivalence import SHAPES, random_inputs
from onnxferry.scripts.prepare.variants.onnx_graph import (
    add_weight,
    constant,
    known,
    operand,
    prepend,
)
from onnxferry.scripts.prepare.variants.subgraph import run

# another number of columns may make a product round otherwise; of the largest number
TOLERANCE = 1e-5
_LEAST = 200  # positions of the smallest table that is worth it
_TO_TABLE = ("Transpose", "Tile", "Expand", "Identity", "Div", "Mul")
_MAX_STEPS = 6  # from the product to the table
# from few tokens to more than there are buckets for; what follows the model's last position fails
_SHAPES = (*sorted(SHAPES), (1, 400))


class PositionProduct(NamedTuple):
    """`taken` picks by `positions` [tokens, tokens], which `spread` may repeat, from the `product`
    of tokens with a constant table [heads, positions, size], which the last of `path` reads."""

    taken: ir.Node
    product: ir.Node
    path: tuple[ir.Node, ...]
    spread: ir.Node | None
    positions: ir.Value


def cut_positions(graph: ir.Graph) -> int:
    """Cut each table of positions where that is proved; how many. The cut form is put beside the
    old one, and in its place if it gives the same numbers: what is not used is not written."""
    found = [p for node in list(graph) if (p := _product_of_positions(node))]
    cut = [_cut_form(product) for product in found]
    same = _same(graph, found, cut) if found else ()
    for product, value, is_same in zip(found, cut, same, strict=True):
        made = value.producer()
        if is_same and made:
            for i, instead in enumerate(made.inputs):
                product.taken.replace_input_with(i, instead)
    return sum(same)


def _product_of_positions(node: ir.Node) -> PositionProduct | None:
    if node.op_type != "GatherElements" or node.attributes.get_int("axis", 0) not in (-1, 2):
        return None
    product, spread = operand(node, 0).producer(), operand(node, 1).producer()
    path = _path_to_table(product) if product and product.op_type == "MatMul" else ()
    if product is None or not path:
        return None
    spread = spread if spread and spread.op_type == "Expand" else None
    index = operand(spread, 0) if spread else operand(node, 1)
    return PositionProduct(node, product, path, spread, index)


def _path_to_table(product: ir.Node) -> tuple[ir.Node, ...]:
    """The operators from a product's right side back to a large constant table."""
    path: list[ir.Node] = []
    node = operand(product, 1).producer()
    while node and node.op_type in _TO_TABLE and len(path) < _MAX_STEPS:
        path.append(node)
        table = constant(node.inputs[0])
        if table is not None:
            fits = table.ndim == 3 and table.dtype == np.float32 and table.shape[1] >= _LEAST
            return tuple(path) if fits else ()
        node = operand(node, 0).producer()
    return ()


def _cut_form(found: PositionProduct) -> ir.Value:
    node, name = found.taken, found.taken.name
    table = operand(found.path[-1], 0)
    first = prepend(node, "ReduceMin", [found.positions], f"{name}_first", keepdims=0)[0]
    last = prepend(node, "ReduceMax", [found.positions], f"{name}_last", keepdims=0)[0]
    one = add_weight(node, "positions_one", np.array([1], np.int64))
    begin = prepend(node, "Reshape", [first, one], f"{name}_begin")[0]
    end = prepend(node, "Add", [last, one], f"{name}_end")[0]
    value = prepend(node, "Slice", [table, begin, end, one], f"{name}_table")[0]
    for old in reversed(found.path):
        value = _again(node, old, [value, *old.inputs[1:]])
    product = _again(node, found.product, [found.product.inputs[0], value])
    index = prepend(node, "Sub", [found.positions, first], f"{name}_index")[0]
    if found.spread:
        index = _again(node, found.spread, [index, found.spread.inputs[1]])
    return _again(node, node, [product, index])


def _again(before: ir.Node, old: ir.Node, inputs: list[ir.Value | None]) -> ir.Value:
    """The output of the same operator with other inputs, put before a node."""
    name = f"{before.name}_{old.name}_cut"
    copy = ir.Node(
        old.domain, old.op_type, inputs, old.attributes.values(), outputs=[ir.val(name)], name=name
    )
    before.prepend(copy)
    return copy.outputs[0]


def _same(
    graph: ir.Graph, found: Sequence[PositionProduct], cut: Sequence[ir.Value]
) -> Sequence[bool]:
    """Which of `cut` give the same numbers for random tokens; none where nothing could be run."""
    outputs = [*(product.taken.outputs[0] for product in found), *cut]
    feeds = [random_inputs(graph, shape) | dict(_tokens(found, shape)) for shape in _SHAPES]
    same: list[list[bool]] = []
    with contextlib.suppress(Exception):  # onnxruntime's errors: the model has fewer positions
        for numbers in run(graph, outputs, feeds):
            pairs = zip(numbers[: len(found)], numbers[len(found) :], strict=True)
            same.append([_close(*pair) for pair in pairs])
    return [all(each) for each in zip(*same, strict=True)] if same else [False] * len(found)


def _tokens(
    found: Sequence[PositionProduct], shape: tuple[int, int]
) -> Iterator[tuple[ir.Value, Array]]:
    """Random ones for the left side of each product."""
    draw = np.random.default_rng(0)
    for product in found:
        heads, _, size = known(product.path[-1].inputs[0]).shape
        rows = draw.standard_normal((shape[0] * heads, shape[1], size))
        yield operand(product.product, 0), rows.astype(np.float32)


def _close(want: Array, got: Array) -> bool:
    same = want.shape == got.shape
    return same and bool(np.abs(want - got).max() <= TOLERANCE * np.abs(want).max())
