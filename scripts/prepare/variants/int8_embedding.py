"""Embeddings in int8, with a scale a row: a quarter of what is most of a small text model.

Of words, rows are scaled as they are read. A table of positions is made float32 when onnxruntime
loads the graph: it is small in memory, and a run takes no more time (10 µs of a short text's 3 ms
otherwise). What mixed precision keeps is stored as float16, which differs by 0.05 % at most.
"""

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
from onnxferry.scripts.prepare.variants.rounding import is_in_float16, largest, rounded

MIN_SIZE = 2**16  # numbers of the smallest table that is worth it: positions, not types
READ_ROWS = 2**20  # of the smallest whose rows are scaled as they are read: words


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


def quantise_embeddings(
    graph: ir.Graph, keep: frozenset[str], min_size: int = MIN_SIZE, read_rows: int = READ_ROWS
) -> None:
    """Store the tables of the look-ups as int8, those of the look-ups in `keep` as float16."""
    for node in embeddings(graph, min_size):
        is_large = held_by(node.inputs[0]).tensor.size >= read_rows
        if node.name not in keep:
            (_scaled_rows if is_large else _scaled_table)(node)
        elif is_in_float16(held_by(node.inputs[0]).read()):
            _half(node)


def _scaled_rows(node: ir.Node) -> None:
    indices, (rows, scales) = operand(node, 1), _int8(node)
    row = prepend(node, "Gather", [rows, indices], f"{node.name}_row")
    number = prepend(node, "Cast", row, f"{node.name}_number", to=ir.DataType.FLOAT)
    factor = prepend(node, "Gather", [scales, indices], f"{node.name}_factor")
    onnx_graph.rewrite(node, "Mul", [*number, *factor], "")


def _scaled_table(node: ir.Node) -> None:
    rows, scales = _int8(node)
    numbers = prepend(node, "Cast", [rows], f"{node.name}_numbers", to=ir.DataType.FLOAT)
    table = prepend(node, "Mul", [*numbers, scales], f"{node.name}_table")
    node.replace_input_with(0, *table)


def _int8(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """The look-up's table as int8 [rows, columns], and the scales, float32 [rows, 1]."""
    table = operand(node, 0)
    held = held_by(table)
    scale = largest(held.read(), 1) / 127
    scale[scale == 0] = 1
    compute = lambda: rounded(held.read(), scale, 127, np.int8)  # noqa: E731
    rows = add_computed(node, f"{table.name}_rows", compute, held.shape, np.int8)
    return rows, add_weight(node, f"{table.name}_scales", scale.astype(np.float32))


def _half(node: ir.Node) -> None:
    table, indices = operand(node, 0), operand(node, 1)
    held = held_by(table)
    compute = lambda: held.read().astype(np.float16)  # noqa: E731
    rows = add_computed(node, f"{table.name}_half", compute, held.shape, np.float16)
    row = prepend(node, "Gather", [rows, indices], f"{node.name}_row")
    onnx_graph.rewrite(node, "Cast", row, "", to=ir.DataType.FLOAT)
