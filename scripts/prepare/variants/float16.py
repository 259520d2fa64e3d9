"""Weights stored as float16: half the file. onnxruntime makes float32 of them once, when it loads
the graph, so that a run is as fast as in float32, and needs as much memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.onnx_graph import add_weight, known, new_node
from onnxferry.scripts.prepare.variants.variant import VariantInputs

MIN_SIZE = 2**12  # numbers of the smallest weight that is stored as float16
_MAX = float(np.finfo(np.float16).max)


def make_float16(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    """Write the graph with its weights as float16, but for those of the operators in `keep`."""
    model = onnx_graph.read(inputs.best)
    fitting = [value for value in model.graph.initializers.values() if _fits(value, keep)]
    casts = [_cast(model.graph, value) for value in fitting]
    if casts:
        onnx_graph.insert_first(model.graph, casts)
    onnx_graph.save(model, target)


def _fits(value: ir.Value, keep: frozenset[str]) -> bool:
    return (
        value.dtype == ir.DataType.FLOAT
        and known(value).size >= MIN_SIZE
        and not any(node.name in keep for node in value.consumers())
        and bool(np.abs(known(value)).max() <= _MAX)
    )


def _cast(graph: ir.Graph, value: ir.Value) -> ir.Node:
    """A Cast that takes the place of a weight; it reads the same numbers as float16."""
    half = add_weight(graph, f"{value.name}_half", known(value).astype(np.float16))
    cast = new_node("Cast", [half], f"{value.name}_float", to=ir.DataType.FLOAT)
    value.replace_all_uses_with(cast.outputs[0], replace_graph_outputs=True)
    return cast
