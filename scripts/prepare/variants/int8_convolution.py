"""Static int8 for graphs with convolutions: QuantizeLinear and DequantizeLinear around operators,
which onnxruntime takes together when it loads the graph, for the CPU that it finds.

Weights have a scale for each output channel. What their rounding adds to a channel on average is
taken off its bias: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, with measured means.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.activation_ranges import ActivationRange, activation_ranges
from onnxferry.scripts.prepare.variants.convolution_folding import MIN_OPSET, OLD_OPSET
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed
from onnxferry.scripts.prepare.variants.onnx_graph import (
    add_scale,
    add_weight,
    known,
    new_node,
    operand,
)
from onnxferry.scripts.prepare.variants.qdq_placement import QdqPlacement, place_qdq
from onnxferry.scripts.prepare.variants.variant import VariantInputs, WeightFormat
from onnxferry.system.errors import PrepareError

_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")


def int8_convolutions(
    weights: WeightFormat, inputs: VariantInputs, target: Path, keep: frozenset[str]
) -> None:
    """Write the graph with its convolutions, and the linear layers beside them, in int8. Raises
    PrepareError for an opset below MIN_OPSET."""
    model = onnx_graph.read(inputs.best)
    graph, opset = model.graph, onnx_graph.opset(model)
    if opset < MIN_OPSET:
        raise PrepareError(OLD_OPSET.format(opset))
    ranges = activation_ranges(inputs, tuple(place_qdq(graph, frozenset()).channels.items()))
    placement = place_qdq(graph, keep)
    scales = {v: ranges[str(placement.source(v).name)].uint8() for v in placement.tensors}
    for node in placement.layers:
        x = operand(node, 0)
        _quantise_weights(node, scales[x][0], ranges[str(x.name)], weights.limit)
    _store_activations(graph, placement, scales)
    onnx_graph.save(model, target)


def _output_axis(node: ir.Node) -> int:
    """The axis of the output channels in an operator's weights."""
    return 0 if node.op_type == "Conv" or is_transposed(node) else 1


def _bias(node: ir.Node, channels: int) -> Array | None:
    """The bias [channels]; None for a product without one."""
    if bias := (*node.inputs, None)[2]:
        return known(bias)
    return np.zeros(channels, np.float32) if node.op_type == "Conv" else None


def _quantise_weights(node: ir.Node, factor: float, seen: ActivationRange, limit: int) -> None:
    """Make weights int8 and the bias int32; `factor` is the input's scale."""
    axis = _output_axis(node)
    weights = np.moveaxis(known(node.inputs[1]), axis, 0)
    bias = _bias(node, len(weights))
    flat = weights.reshape(len(weights), -1)
    scale = np.abs(flat).max(1) / limit
    if bias is not None:  # it is an int32 of the scale `scale * factor`
        scale = np.maximum(scale, np.abs(bias) / (factor * (2.0**31 - 1)) * 1.01)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.clip(np.round(flat / scale[:, None]), -limit, limit)
    stored = np.moveaxis(whole.reshape(weights.shape).astype(np.int8), 0, axis)
    _read_dequantised(node, 1, stored, scale)
    if bias is not None:
        drift = _drift(weights.shape, whole * scale[:, None] - flat, seen.mean)
        corrected = np.round((bias - drift) / (scale * factor)).astype(np.int32)
        _read_dequantised(node, 2, corrected, scale * np.float32(factor))


def _drift(shape: tuple[int, ...], error: Array, mean: Array) -> Array:
    """What the `error` [channels, inputs * kernel] of weights of a shape (channels, inputs of the
    group, kernel...) adds to each channel, for inputs of this `mean`."""
    summed = error.reshape(*shape[:2], -1).sum(2)
    groups = mean.reshape(-1, shape[1])
    drift: Array = (summed * groups.repeat(shape[0] // len(groups), 0)).sum(1)
    return drift


def _read_dequantised(node: ir.Node, index: int, values: Array, scale: Array) -> None:
    """Make input `index` of a node (1: weights, 2: bias) `values` times the scale [channels]."""
    name = f"{node.name}_{('', 'weights', 'bias')[index]}"
    factors = add_scale(node, name, scale, np.zeros(scale.shape, values.dtype))
    inputs = [add_weight(node, f"{name}_quantised", values), *factors]
    axis = _output_axis(node) if index == 1 else 0
    new = onnx_graph.prepend(node, "DequantizeLinear", inputs, f"{name}_dequantised", axis=axis)
    node.resize_inputs(max(len(node.inputs), index + 1))
    node.replace_input_with(index, new[0])


def _store_activations(
    graph: ir.Graph, placement: QdqPlacement, scales: Mapping[ir.Value, tuple[float, int]]
) -> None:
    """Put each tensor of the placement through uint8 (scale, zero point)."""
    for value, begin in placement.tensors.items():
        uses = list(value.uses())
        added = _through_uint8(graph[0], value, begin, scales[value])
        for node, i in uses:
            is_float = node.op_type in _WITH_WEIGHTS and node not in placement.layers
            node.replace_input_with(i, added[2 if is_float else 1].outputs[0])
        if producer := begin.producer():
            producer.append(added)
        else:
            graph.insert_before(graph[0], added)


def _through_uint8(
    first: ir.Node, value: ir.Value, begin: ir.Value, scale: tuple[float, int]
) -> list[ir.Node]:
    """QuantizeLinear, DequantizeLinear and, for layers that stay in float32, a Clip that changes
    nothing: onnxruntime (1.31) would quantise them all the same as it loads the graph."""
    name, (factor, zero) = value.name, scale
    factors = add_scale(first, str(name), np.float32(factor), np.uint8(zero))
    low = add_weight(first, f"{name}_low", np.float32(-factor * zero))
    high = add_weight(first, f"{name}_high", np.float32(factor * (255 - zero)))
    stored = new_node("QuantizeLinear", [begin, *factors], f"{name}_quantised")
    given = new_node("DequantizeLinear", [*stored.outputs, *factors], f"{name}_dequantised")
    return [stored, given, new_node("Clip", [*given.outputs, low, high], f"{name}_limited")]
