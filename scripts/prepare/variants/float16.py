"""Weights stored as float16: half the file. onnxruntime makes float32 of them when it loads the
graph, so that runs take the time and memory of float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.onnx_graph import add_computed, held_by, prepend
from onnxferry.scripts.prepare.variants.rounding import is_in_float16
from onnxferry.scripts.prepare.variants.variant import VariantInputs

MIN_SIZE = 2**12  # numbers of the smallest weight that is worth it


def make_float16(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    """Write the graph with its weights as float16, but for those of the operators in `keep`."""
    model = onnx_graph.read(inputs.best)
    for value in list(model.graph.initializers.values()):
        if _fits(value, keep):
            _store(model.graph[0], value)
    onnx_graph.save(model, target)


def _fits(value: ir.Value, keep: frozenset[str]) -> bool:
    return (
        value.dtype == ir.DataType.FLOAT
        and held_by(value).tensor.size >= MIN_SIZE
        and not any(node.name in keep for node in value.consumers())
        and is_in_float16(held_by(value).read())
    )


def _store(first: ir.Node, value: ir.Value) -> None:
    """Put a Cast of the float16 numbers, before the `first` node, in the place of a weight."""
    held, name = held_by(value), f"{value.name}_half"
    compute = lambda: held.read().astype(np.float16)  # noqa: E731
    half = add_computed(first, name, compute, held.shape, np.float16)
    (single,) = prepend(first, "Cast", [half], f"{value.name}_float", to=ir.DataType.FLOAT)
    value.replace_all_uses_with(single, replace_graph_outputs=True)
