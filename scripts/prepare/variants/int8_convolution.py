"""Static int8 for graphs with convolutions: QuantizeLinear and DequantizeLinear around the
operators, which onnxruntime takes together when it loads the graph, for the CPU that it finds.

Weights are int8, a scale for each output channel. What rounding them adds to a channel on average,
given the mean of the inputs, is taken off its bias: Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction", 2019, with means that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.calibration import ActivationRange, activation_ranges
from onnxferry.scripts.prepare.variants.convolution_folding import MIN_OPSET
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed
from onnxferry.scripts.prepare.variants.onnx_graph import (
    add_scale,
    add_weight,
    known,
    new_node,
    operand,
    prepend,
)
from onnxferry.scripts.prepare.variants.qdq_placement import QdqPlacement, place_qdq
from onnxferry.scripts.prepare.variants.variant import Make, VariantInputs
from onnxferry.scripts.prepare.variants.weight_format import WeightFormat
from onnxferry.system.errors import PrepareError

_INT32_MAX = 2.0**31 - 1
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")


def int8_convolutions(weight_format: WeightFormat) -> Make:
    """Convolutions, and the linear layers beside them, with measured scales."""

    def make(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        model = onnx_graph.read(inputs.best)
        opset = onnx_graph.opset(model)
        if opset < MIN_OPSET:
            raise PrepareError(
                f"opset {opset}: int8 convolutions need {MIN_OPSET} or more; export the model again"
            )
        ranges = activation_ranges(inputs, place_qdq(model.graph, frozenset()).channels)
        placement = place_qdq(model.graph, keep)
        scales = {v: ranges[str(placement.source(v).name)].uint8() for v in placement.tensors}
        for node in placement.layers:
            x, limit = operand(node, 0), weight_format.limit
            _quantise_weights(model.graph, node, scales[x][0], ranges[str(x.name)], limit)
        _store_activations(model.graph, placement, scales)
        onnx_graph.save(model, target)

    return make


def _output_axis(node: ir.Node) -> int:
    """Which axis of an operator's weights is that of its output channels."""
    return 0 if node.op_type == "Conv" or is_transposed(node) else 1


def _bias(node: ir.Node, channels: int) -> Array | None:
    """A bias [channels]; None for a product without one."""
    if bias := (*node.inputs, None)[2]:
        return known(bias)
    return np.zeros(channels, np.float32) if node.op_type == "Conv" else None


def _quantise_weights(
    graph: ir.Graph, node: ir.Node, factor: float, seen: ActivationRange, limit: int
) -> None:
    """Make an operator read int8 weights from -`limit` to `limit` and an int32 bias; `factor` is
    the scale of its input."""
    axis = _output_axis(node)
    weights = np.moveaxis(known(node.inputs[1]), axis, 0)
    bias = _bias(node, len(weights))
    flat = weights.reshape(len(weights), -1)
    scale = np.abs(flat).max(1) / limit
    if bias is not None:  # it is an int32 of the scale `scale * factor`
        scale = np.maximum(scale, np.abs(bias) / (factor * _INT32_MAX) * 1.01)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.clip(np.round(flat / scale[:, None]), -limit, limit)
    stored = np.moveaxis(whole.reshape(weights.shape).astype(np.int8), 0, axis)
    _read_dequantised(graph, node, 1, stored, scale)
    if bias is not None:
        drift = _drift(weights.shape, whole * scale[:, None] - flat, seen.mean)
        corrected = np.round((bias - drift) / (scale * factor)).astype(np.int32)
        _read_dequantised(graph, node, 2, corrected, scale * np.float32(factor))


def _drift(shape: tuple[int, ...], error: Array, mean: Array) -> Array:
    """What the `error` [channels, inputs * kernel] of the weights of this shape (channels, inputs
    of the channel's group, kernel...) adds to each channel, for inputs of this `mean`."""
    summed = error.reshape(shape[0], shape[1], -1).sum(2)
    groups = mean.reshape(-1, shape[1])
    drift: Array = (summed * groups.repeat(shape[0] // len(groups), 0)).sum(1)
    return drift


def _read_dequantised(
    graph: ir.Graph, node: ir.Node, index: int, values: Array, scale: Array
) -> None:
    """Make the input `index` of a node what DequantizeLinear makes of `values`, with a scale for
    each output channel."""
    name = f"{node.name}_{('', 'weights', 'bias')[index]}"
    factors = add_scale(graph, name, scale, np.zeros(scale.shape, values.dtype))
    inputs = [add_weight(graph, f"{name}_quantised", values), *factors]
    axis = _output_axis(node) if index == 1 else 0
    (given,) = prepend(node, "DequantizeLinear", inputs, f"{name}_dequantised", axis=axis)
    node.resize_inputs(max(len(node.inputs), index + 1))
    node.replace_input_with(index, given)


def _store_activations(
    graph: ir.Graph, placement: QdqPlacement, scales: Mapping[ir.Value, tuple[float, int]]
) -> None:
    """Put each tensor of the placement through uint8, of a scale and a zero point, where it is
    made."""
    for value, begin in placement.tensors.items():
        uses = [
            (node, i, node.op_type in _WITH_WEIGHTS and node not in placement.layers)
            for node, i in value.uses()
        ]
        added = _through_uint8(graph, value, begin, scales[value])
        if any(is_float for _, _, is_float in uses):
            added.append(_barrier(graph, added[1].outputs[0], scales[value]))
        for node, i, is_float in uses:
            node.replace_input_with(i, added[2 if is_float else 1].outputs[0])
        producer = begin.producer()
        if producer:
            producer.append(added)
        else:
            graph.insert_before(graph[0], added)


def _through_uint8(
    graph: ir.Graph, value: ir.Value, begin: ir.Value, scale: tuple[float, int]
) -> list[ir.Node]:
    factors = add_scale(graph, str(value.name), np.float32(scale[0]), np.uint8(scale[1]))
    stored = new_node("QuantizeLinear", [begin, *factors], f"{value.name}_quantised")
    given = new_node("DequantizeLinear", [*stored.outputs, *factors], f"{value.name}_dequantised")
    return [stored, given]


def _barrier(graph: ir.Graph, x: ir.Value, scale: tuple[float, int]) -> ir.Node:
    """Limits that change nothing, between uint8 and a layer that stays in float32: onnxruntime
    (1.31) would quantise it all the same when it loads the graph, with one scale for all of its
    weights."""
    low, high = -scale[0] * scale[1], scale[0] * (255 - scale[1])
    limits = [
        add_weight(graph, f"{x.name}_low", np.float32(low)),
        add_weight(graph, f"{x.name}_high", np.float32(high)),
    ]
    return new_node("Clip", [x, *limits], f"{x.name}_limited")
