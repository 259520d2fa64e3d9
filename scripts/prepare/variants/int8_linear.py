"""Linear layers in int8: MatMul, Gemm and Attention whose weights are constants.

Weights are quantised per output column, symmetric around zero. Activations become uint8, with a
scale that each run takes from its own numbers (dynamic), or with one that was measured on real
inputs (static): then a row's result does not depend on the other rows of its run. The operators are
onnxruntime's own (com.microsoft), on every CPU the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.calibration import Ranges, activation_ranges
from onnxferry.scripts.prepare.variants.int8_embedding import quantise_embeddings
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed, linear_layers, matrix
from onnxferry.scripts.prepare.variants.onnx_graph import (
    MICROSOFT,
    add_scale,
    add_weight,
    operand,
    prepend,
)
from onnxferry.scripts.prepare.variants.smoothing import smooth
from onnxferry.scripts.prepare.variants.variant import Make, VariantInputs
from onnxferry.scripts.prepare.variants.weight_format import WeightFormat


@dataclass(frozen=True)
class QuantisedTensor:
    """A tensor after quantisation: `values` are whole numbers, and the float32 numbers are
    (values - zero) * scale."""

    values: ir.Value
    scale: ir.Value
    zero: ir.Value


def int8_linear(weight_format: WeightFormat, static: bool) -> Make:
    """Linear layers and embeddings in int8; `static`: activations smoothed, with measured
    scales."""

    def make(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        model = onnx_graph.read(inputs.best)
        graph, ranges = model.graph, None
        if static:
            ranges = smooth(graph, keep, activation_ranges(inputs, channels(graph)))
        quantise_linear(graph, keep, weight_format, ranges)
        quantise_embeddings(graph, keep)
        onnx_graph.save(model, target)

    return make


int8_dynamic = partial(int8_linear, static=False)
int8_static = partial(int8_linear, static=True)


def channels(graph: ir.Graph) -> dict[str, int]:
    """The tensors whose range static quantisation needs, and the axis of their channels."""
    return {str(operand(node, 0).name): -1 for node in linear_layers(graph)}


def quantise_linear(
    graph: ir.Graph, keep: frozenset[str], weight_format: WeightFormat, ranges: Ranges | None = None
) -> None:
    """Put int8 in the place of the linear layers that are not in `keep`; static where `ranges` are
    given."""
    done: dict[ir.Value, QuantisedTensor] = {}
    for node in linear_layers(graph):
        if node.name not in keep:
            x = operand(node, 0)
            if x not in done:
                done[x] = _quantised_input(graph, node, ranges)
            weights = _quantised_weights(graph, node, weight_format)
            _REWRITE[node.op_type](node, done[x], weights)


def _quantised_input(graph: ir.Graph, node: ir.Node, ranges: Ranges | None) -> QuantisedTensor:
    """The layer's input as uint8, made by a new node before the layer."""
    x = operand(node, 0)
    names = [f"{x.name}_{part}" for part in ("quantised", "scale", "zero")]
    if ranges is None:
        return QuantisedTensor(*prepend(node, "DynamicQuantizeLinear", [x], *names))
    scale, zero = ranges[str(x.name)].uint8()
    factors = add_scale(graph, str(x.name), np.float32(scale), np.uint8(zero))
    (values,) = prepend(node, "QuantizeLinear", [x, *factors], names[0])
    return QuantisedTensor(values, *factors)


def _quantised_weights(
    graph: ir.Graph, node: ir.Node, weight_format: WeightFormat
) -> QuantisedTensor:
    """The layer's weights [inputs, outputs] and their scale [outputs]; once for all layers that
    share them."""
    limit, array = weight_format.limit, matrix(node)
    scale = np.abs(array).max(0) / limit
    scale[scale == 0] = 1
    whole = np.clip(np.round(array / scale), -limit, limit)
    dtype, zero = (np.int8, 0) if weight_format.signed else (np.uint8, 128)
    name = f"{operand(node, 1).name}{'_transposed' if is_transposed(node) else ''}"
    values = add_weight(graph, f"{name}_quantised", (whole + zero).astype(dtype))
    zeros = np.full(scale.shape, zero, dtype)
    return QuantisedTensor(values, *add_scale(graph, name, scale.astype(np.float32), zeros))


def _product(node: ir.Node, x: QuantisedTensor, w: QuantisedTensor) -> None:
    inputs = [x.values, w.values, x.scale, w.scale, x.zero, w.zero, *node.inputs[2:3]]
    onnx_graph.rewrite(node, "MatMulIntegerToFloat", inputs, MICROSOFT)


def _attention(node: ir.Node, x: QuantisedTensor, w: QuantisedTensor) -> None:
    bias, mask = (*node.inputs[2:4], None)[:2]
    inputs = [x.values, w.values, bias, x.scale, w.scale, mask, x.zero, w.zero]
    heads = node.attributes.get_int("num_heads")
    onnx_graph.rewrite(node, "QAttention", inputs, MICROSOFT, num_heads=heads)


_REWRITE: Mapping[str, Callable[[ir.Node, QuantisedTensor, QuantisedTensor], None]] = {
    "MatMul": _product,
    "Gemm": _product,
    "Attention": _attention,
}
