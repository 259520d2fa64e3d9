"""Linear layers in int8: MatMul, Gemm and Attention whose weights are constants.

Weights are quantised per output column, symmetric around zero; activations to uint8, with a scale
from each run's own numbers (dynamic), or from real inputs beforehand (static), so that a row's
result does not depend on the others of its run. The operators are onnxruntime's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.activation_ranges import Ranges, activation_ranges
from onnxferry.scripts.prepare.variants.int8_embedding import quantise_embeddings
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed, linear_layers, matrix
from onnxferry.scripts.prepare.variants.onnx_graph import (
    MICROSOFT,
    add_computed,
    add_scale,
    held_by,
    operand,
    prepend,
    weight,
)
from onnxferry.scripts.prepare.variants.rounding import largest, rounded
from onnxferry.scripts.prepare.variants.smoothing import smooth
from onnxferry.scripts.prepare.variants.variant import VariantInputs, WeightFormat


class QuantisedTensor(NamedTuple):
    """`values` are whole numbers; the float32 numbers are (values - zero) * scale."""

    values: ir.Value
    scale: ir.Value
    zero: ir.Value


def int8_linear(
    static: bool, weights: WeightFormat, inputs: VariantInputs, target: Path, keep: frozenset[str]
) -> None:
    """Write the graph with linear layers and embeddings in int8; `static`: with smoothed
    activations."""
    model = onnx_graph.read(inputs.best)
    graph, ranges = model.graph, None
    if static:
        measured = activation_ranges(inputs, tuple(channels(graph).items()))
        ranges = smooth(graph, keep, measured)
    quantise_linear(graph, keep, weights, ranges)
    quantise_embeddings(graph, keep)
    onnx_graph.save(model, target)


def channels(graph: ir.Graph) -> dict[str, int]:
    """The tensors whose range static int8 needs -> the axis of their channels."""
    return {str(operand(node, 0).name): -1 for node in linear_layers(graph)}


def quantise_linear(
    graph: ir.Graph, keep: frozenset[str], weights: WeightFormat, ranges: Ranges | None = None
) -> None:
    """Make the linear layers that are not in `keep` int8; static with `ranges`."""
    done: dict[ir.Value, QuantisedTensor] = {}
    for node in linear_layers(graph):
        if node.name not in keep:
            x = operand(node, 0)
            if x not in done:
                done[x] = _quantised_input(node, ranges)
            rewrite = _attention if node.op_type == "Attention" else _product
            rewrite(node, done[x], _quantised_weights(node, weights))
    _approximate_gelus(graph)


def _quantised_input(node: ir.Node, ranges: Ranges | None) -> QuantisedTensor:
    """The layer's input as uint8, made before the layer."""
    x = operand(node, 0)
    names = [f"{x.name}_{part}" for part in ("quantised", "scale", "zero")]
    if ranges is None:
        return QuantisedTensor(*prepend(node, "DynamicQuantizeLinear", [x], *names))
    scale, zero = ranges[str(x.name)].uint8()
    factors = add_scale(node, str(x.name), np.float32(scale), np.uint8(zero))
    (values,) = prepend(node, "QuantizeLinear", [x, *factors], names[0])
    return QuantisedTensor(values, *factors)


def _quantised_weights(node: ir.Node, weights: WeightFormat) -> QuantisedTensor:
    """The layer's weights [inputs, outputs] and their scale [outputs], once if they are shared."""
    limit, read = weights.limit, matrix(node)
    array = read()
    shape, scale = array.shape, largest(array, 0) / limit
    scale[scale == 0] = 1
    dtype, zero = (np.int8, 0) if weights.signed else (np.uint8, 128)
    name = f"{operand(node, 1).name}{'_transposed' if is_transposed(node) else ''}"
    compute = lambda: rounded(read(), scale, limit, dtype, zero)  # noqa: E731
    values = add_computed(node, f"{name}_quantised", compute, shape, dtype)
    scales = scale[0].astype(np.float32)
    zeros = np.full(scales.shape, zero, dtype)
    return QuantisedTensor(values, *add_scale(node, name, scales, zeros))


def _product(node: ir.Node, x: QuantisedTensor, w: QuantisedTensor) -> None:
    """With the bias that is added after it, if there is one: 2 % of BERT-base's time was for these
    additions."""
    bias, end, product = node.inputs[2:3], node, node.outputs[0]
    if added := _added_bias(node):
        bias = [value for value in added.inputs if value is not product]
        if added.op_type == "Add":
            end = added
        else:
            onnx_graph.rewrite(added, "Gelu", [product], MICROSOFT)
    inputs = [x.values, w.values, x.scale, w.scale, x.zero, w.zero, *bias]
    onnx_graph.rewrite(end, "MatMulIntegerToFloat", inputs, MICROSOFT)


def _added_bias(node: ir.Node) -> ir.Node | None:
    """The operator that alone reads a layer without a bias, if it adds a number for each column."""
    product = node.outputs[0]
    readers = product.consumers()
    if len(node.inputs) > 2 or len(readers) != 1 or product.is_graph_output():
        return None
    (reader,) = readers
    if reader.op_type not in ("Add", "BiasGelu"):
        return None
    biases = [weight(value) for value in reader.inputs if value is not product]
    columns = held_by(node.inputs[1]).shape[-1:]
    return reader if [held and held.shape for held in biases] == [columns] else None


def _attention(node: ir.Node, x: QuantisedTensor, w: QuantisedTensor) -> None:
    bias, mask = (*node.inputs[2:4], None)[:2]
    inputs = [x.values, w.values, bias, x.scale, w.scale, mask, x.zero, w.zero]
    heads = node.attributes.get_int("num_heads")
    onnx_graph.rewrite(node, "QAttention", inputs, MICROSOFT, num_heads=heads)


def _approximate_gelus(graph: ir.Graph) -> None:
    """Gelu by tanh where it takes what an int8 layer gives: 0.36 instead of 0.65 ms for 180 x 3072
    numbers, and at most 0.0005 away, where int8 next stores them in steps of some 0.03."""
    for node in graph:
        if node.op_type in ("Gelu", "BiasGelu") and node.domain == MICROSOFT:
            layer = operand(node, 0).producer()
            if layer and layer.op_type == "MatMulIntegerToFloat":
                onnx_graph.rewrite(node, "FastGelu", node.inputs, MICROSOFT)
