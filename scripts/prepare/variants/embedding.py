"""Embeddings in int8, with a scale a row: a quarter of their size, which is most of a small text
model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from onnxferry.scripts.prepare.variants.onnx_graph import Graph, attributes

LEAST = 2**20  # numbers of the smallest table whose size is worth it: words, not positions


def embeddings(graph: Graph) -> list[Any]:
    """The look-ups of rows in large tables of float32 constants."""
    return [node for node in graph.nodes if node.op_type == "Gather" and _fits(graph, node)]


def quantise_embeddings(graph: Graph, keep: frozenset[str]) -> None:
    """Store the tables of the look-ups that are not in `keep` as int8; a row is multiplied with its
    scale as it is read."""
    graph.replace(
        {node.name: _lookup(graph, node) for node in embeddings(graph) if node.name not in keep}
    )


def _fits(graph: Graph, node: Any) -> bool:
    if not graph.is_constant(node.input[0]) or attributes(node).get("axis", 0):
        return False
    table = graph.constant(node.input[0])
    return (
        table is not None and table.ndim == 2 and table.dtype == np.float32 and table.size >= LEAST
    )


def _lookup(graph: Graph, node: Any) -> Sequence[Any]:
    name, indices = node.input
    table = graph.known(name)
    scale = np.abs(table).max(1, keepdims=True) / 127
    scale[scale == 0] = 1
    rows = graph.add(f"{name}_rows", np.round(table / scale).astype(np.int8))
    scales = graph.add(f"{name}_scales", scale.astype(np.float32))
    row, number, factor = (f"{node.name}_{part}" for part in ("row", "number", "factor"))
    return [
        helper.make_node("Gather", [rows, indices], [row], row),
        helper.make_node("Cast", [row], [number], number, to=TensorProto.FLOAT),
        helper.make_node("Gather", [scales, indices], [factor], factor),
        helper.make_node("Mul", [number, factor], list(node.output), node.name),
    ]
