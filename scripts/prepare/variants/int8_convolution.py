"""Static int8 for graphs with convolutions: QuantizeLinear and DequantizeLinear around the
operators, which onnxruntime takes together when it loads the graph, for the CPU that it finds.

Weights are int8, a scale for each output channel. What rounding them adds to a channel on average,
given the mean of the inputs, is taken off its bias: Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction", 2019, with means that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.calibration import ActivationRange, activation_ranges
from onnxferry.scripts.prepare.variants.convolution_folding import MIN_OPSET
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed
from onnxferry.scripts.prepare.variants.onnx_graph import add_weight, known, new_node, operand
from onnxferry.scripts.prepare.variants.qdq_placement import QdqPlacement, place_qdq
from onnxferry.scripts.prepare.variants.variant import Make, VariantInputs
from onnxferry.scripts.prepare.variants.weight_format import WeightFormat
from onnxferry.system.errors import PrepareError

_INT32_MAX = 2.0**31 - 1
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")

Scales: TypeAlias = Mapping[ir.Value, tuple[float, int]]
"""Tensor -> the scale and the zero point of its uint8."""


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


@dataclass(frozen=True)
class _Weights:
    """The float32 weights of an operator, [channels, ...] with the outputs first; `last`: the graph
    has the outputs last."""

    array: Array
    bias: Array | None
    last: bool

    @classmethod
    def of(cls, node: ir.Node) -> _Weights:
        array, last = known(node.inputs[1]), _has_outputs_last(node)
        bias = known(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
        if bias is None and node.op_type == "Conv":
            bias = np.zeros(len(array), np.float32)
        return cls(array.T if last else array, bias, last)


def _has_outputs_last(node: ir.Node) -> bool:
    return node.op_type != "Conv" and not is_transposed(node)


def _quantise_weights(
    graph: ir.Graph, node: ir.Node, factor: float, seen: ActivationRange, limit: int
) -> None:
    """Make an operator read int8 weights from -`limit` to `limit` and an int32 bias; `factor` is
    the scale of its input."""
    weights = _Weights.of(node)
    flat = weights.array.reshape(len(weights.array), -1)
    scale = np.abs(flat).max(1) / limit
    if weights.bias is not None:  # it is an int32 of the scale `scale * factor`
        scale = np.maximum(scale, np.abs(weights.bias) / (factor * _INT32_MAX) * 1.01)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.clip(np.round(flat / scale[:, None]), -limit, limit)
    stored = whole.reshape(weights.array.shape).astype(np.int8)
    _read_dequantised(graph, node, 1, stored.T if weights.last else stored, scale)
    if weights.bias is not None:
        drift = _drift(weights.array.shape, whole * scale[:, None] - flat, seen.mean)
        bias = np.round((weights.bias - drift) / (scale * factor)).astype(np.int32)
        _read_dequantised(graph, node, 2, bias, scale * np.float32(factor))


def _drift(shape: tuple[int, ...], error: Array, mean: Array) -> Array:
    """What the `error` [channels, inputs * kernel] of the weights of this shape (channels, inputs
    of the channel's group, kernel...) adds to each channel, for inputs of this `mean`."""
    summed = error.reshape(shape[0], shape[1], -1).sum(2)
    groups = len(mean) // shape[1]
    inputs = mean.reshape(groups, shape[1]).repeat(shape[0] // groups, 0)
    drift: Array = (summed * inputs).sum(1)
    return drift


def _read_dequantised(
    graph: ir.Graph, node: ir.Node, index: int, values: Array, scale: Array
) -> None:
    """Make the input `index` of a node what DequantizeLinear makes of `values`; `scale` is a number
    for each output channel: the first axis of a convolution's weights, the last of a product's."""
    name = f"{node.name}_{('', 'weights', 'bias')[index]}"
    inputs = [
        add_weight(graph, f"{name}_quantised", values),
        add_weight(graph, f"{name}_scale", scale.astype(np.float32)),
        add_weight(graph, f"{name}_zero", np.zeros(scale.shape, values.dtype)),
    ]
    axis = int(index == 1 and _has_outputs_last(node))
    added = new_node("DequantizeLinear", inputs, f"{name}_dequantised", axis=axis)
    node.prepend(added)
    node.resize_inputs(max(len(node.inputs), index + 1))
    node.replace_input_with(index, added.outputs[0])


def _store_activations(graph: ir.Graph, placement: QdqPlacement, scales: Scales) -> None:
    """Put each tensor of the placement through uint8 where it is made."""
    for value, begin in placement.tensors.items():
        readers = value.consumers()
        pair = _through_uint8(graph, value, begin, scales[value])
        given = pair[1].outputs[0]
        float_layers = [
            node
            for node in readers
            if node.op_type in _WITH_WEIGHTS and node not in placement.layers
        ]
        if float_layers:
            pair.append(_barrier(graph, given, scales[value]))
        for node in readers:
            _read(node, value, pair[2].outputs[0] if node in float_layers else given)
        producer = begin.producer()
        if producer is None:
            onnx_graph.insert_first(graph, pair)
        else:
            producer.append(pair)


def _read(node: ir.Node, old: ir.Value, new: ir.Value) -> None:
    """Make a node read `new` wherever it reads `old`."""
    for i, value in enumerate(node.inputs):
        if value is old:
            node.replace_input_with(i, new)


def _through_uint8(
    graph: ir.Graph, value: ir.Value, begin: ir.Value, scale: tuple[float, int]
) -> list[ir.Node]:
    factors = [
        add_weight(graph, f"{value.name}_scale", np.float32(scale[0])),
        add_weight(graph, f"{value.name}_zero", np.uint8(scale[1])),
    ]
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
