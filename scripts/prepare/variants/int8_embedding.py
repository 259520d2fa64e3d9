"""Embeddings in int8, with a scale a row: a quarter of what is most of a small text model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.onnx_graph import (
    add_computed,
    add_weight,
    held_by,
    operand,
    prepend,
)
from onnxferry.scripts.prepare.variants.rounding import largest, rounded

MIN_SIZE = 2**20  # numbers of the smallest table that is worth it: words, not positions


def embeddings(graph: ir.Graph, min_size: int = MIN_SIZE) -> list[ir.Node]:
    """The look-ups of rows in float32 tables of at least `min_size` numbers."""
    return [
        node
        for node in graph
        if node.op_type == "Gather"
        and not node.attributes.get_int("axis", 0)
        and onnx_graph.is_matrix(node.inputs[0])
        and held_by(node.inputs[0]).tensor.size >= min_size
    ]


def quantise_embeddings(graph: ir.Graph, keep: frozenset[str], min_size: int = MIN_SIZE) -> None:
    """Store the tables of the look-ups that are not in `keep` as int8; rows are scaled as they are
    read."""
    for node in embeddings(graph, min_size):
        if node.name not in keep:
            _quantise(node)


def _quantise(node: ir.Node) -> None:
    table, indices = operand(node, 0), operand(node, 1)
    held = held_by(table)
    scale = largest(held.read(), 1) / 127
    scale[scale == 0] = 1
    compute = lambda: rounded(held.read(), scale, 127, np.int8)  # noqa: E731
    rows = add_computed(node, f"{table.name}_rows", compute, held.shape, np.int8)
    scales = add_weight(node, f"{table.name}_scales", scale.astype(np.float32))
    row = prepend(node, "Gather", [rows, indices], f"{node.name}_row")
    number = prepend(node, "Cast", row, f"{node.name}_number", to=ir.DataType.FLOAT)
    factor = prepend(node, "Gather", [scales, indices], f"{node.name}_factor")
    onnx_graph.rewrite(node, "Mul", [*number, *factor], "")
