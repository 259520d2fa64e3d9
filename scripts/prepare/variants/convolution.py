"""Static int8 for graphs with convolutions: QuantizeLinear and DequantizeLinear around the
operators, which onnxruntime takes together when it loads the graph, for the CPU that it finds.

Weights are int8, a scale for each output channel. What rounding them adds to a channel on average,
given the mean of the inputs, is taken off its bias: Nagel et al., "Data-Free Quantization Through
Weight Equalization and Bias Correction", 2019, with means that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.calibration import Seen, observed
from onnxferry.scripts.prepare.variants.folding import OPSET
from onnxferry.scripts.prepare.variants.linear import Form
from onnxferry.scripts.prepare.variants.onnx_graph import Graph, attributes
from onnxferry.scripts.prepare.variants.qdq_placement import Points, points
from onnxferry.scripts.prepare.variants.variant_inputs import Material
from onnxferry.system.errors import PrepareError

INT32 = 2.0**31 - 1
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm")

Scales = Mapping[str, tuple[float, int]]
"""Tensor -> the scale and the zero point of its uint8."""


@dataclass(frozen=True)
class Layer:
    """The weights of one operator, outputs first: [channels, ...]; `last`: they are stored with the
    outputs last."""

    node: Any
    weights: Array
    bias: Array | None
    last: bool


def quantise_convolutions(
    material: Material, target: Path, keep: frozenset[str], form: Form
) -> None:
    """Write the graph with uint8 activations and int8 weights; the operators in `keep` stay in
    float32."""
    graph = Graph.read(material.best)
    if graph.opset < OPSET:
        raise PrepareError(
            f"opset {graph.opset}: int8 convolutions need {OPSET} or more; export the model again"
        )
    everything = points(graph, frozenset())
    seen = observed(material, everything.channels)
    marked = points(graph, keep)
    scales = {name: seen[marked.source(name)].scale() for name in marked.tensors}
    replacements: dict[str, Sequence[Any]] = {}
    for node in marked.layers:
        replacements[node.name] = [*_stored(graph, _layer(graph, node), scales, seen, form), node]
    first = _store(graph, marked, scales, replacements)
    graph.replace(replacements, first)
    graph.save(target)


def _layer(graph: Graph, node: Any) -> Layer:
    weights = graph.known(node.input[1])
    bias = graph.known(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is None and node.op_type == "Conv":
        bias = np.zeros(len(weights), np.float32)
    last = node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not attributes(node).get("transB")
    )
    return Layer(node, weights.T if last else weights, bias, last)


def _stored(
    graph: Graph, layer: Layer, scales: Scales, seen: Mapping[str, Seen], form: Form
) -> list[Any]:
    """The nodes that give an operator its weights; the operator is made to read them."""
    x, name = layer.node.input[0], layer.node.name
    factor = scales[x][0]
    flat = layer.weights.reshape(len(layer.weights), -1)
    scale = np.abs(flat).max(1) / form.limit
    if layer.bias is not None:
        # the bias is an int32 of this scale
        scale = np.maximum(scale, np.abs(layer.bias) / (factor * INT32) * 1.01)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.clip(np.round(flat / scale[:, None]), -form.limit, form.limit)
    shaped = whole.reshape(layer.weights.shape).astype(np.int8)
    nodes = [
        _dequantise(
            graph, f"{name}_weights", shaped.T if layer.last else shaped, scale, int(layer.last)
        )
    ]
    layer.node.input[1] = nodes[0].output[0]
    if layer.bias is not None:
        bias = layer.bias - _drift(layer, whole * scale[:, None] - flat, seen[x].mean)
        stored = np.round(bias / (scale * factor)).astype(np.int32)
        nodes.append(_dequantise(graph, f"{name}_bias", stored, scale * np.float32(factor), 0))
        layer.node.input[:] = [*layer.node.input[:2], nodes[1].output[0]]
    return nodes


def _drift(layer: Layer, error: Array, mean: Array) -> Array:
    """What the `error` of the weights [channels, inputs * kernel] adds to each channel, for inputs
    of this `mean`."""
    shape = layer.weights.shape  # channels, inputs of the channel's group, kernel...
    summed = error.reshape(shape[0], shape[1], -1).sum(2)
    groups = len(mean) // shape[1]
    inputs = mean.reshape(groups, shape[1]).repeat(shape[0] // groups, 0)
    drift: Array = (summed * inputs).sum(1)
    return drift


def _dequantise(graph: Graph, name: str, values: Array, scale: Array, axis: int) -> Any:
    stored = graph.add(f"{name}_quantised", values)
    names = [stored, graph.add(f"{name}_scale", scale.astype(np.float32))]
    names.append(graph.add(f"{name}_zero", np.zeros(scale.shape, values.dtype)))
    return helper.make_node(
        "DequantizeLinear", names, [f"{name}_dequantised"], f"{name}_dequantise", axis=axis
    )


def _store(
    graph: Graph, marked: Points, scales: Scales, replacements: dict[str, Sequence[Any]]
) -> list[Any]:
    """Put each marked tensor through uint8 where it is made; the nodes for the graph's own inputs
    are returned."""
    first: list[Any] = []
    layers = {node.name for node in marked.layers}
    for name, begin in marked.tensors.items():
        pair = _through(graph, name, begin, scales[name])
        for reader in graph.consumers(name):
            given = pair[1].output[0]
            if reader.op_type in _WEIGHTED and reader.name not in layers:
                pair += [] if len(pair) == 3 else [_barrier(graph, given, scales[name])]
                given = pair[2].output[0]
            reader.input[:] = [given if i == name else i for i in reader.input]
        producer = graph.producer(begin)
        if producer is None:
            first += pair
        else:
            replacements[producer.name] = [*replacements.get(producer.name, [producer]), *pair]
    return first


def _through(graph: Graph, name: str, begin: str, scale: tuple[float, int]) -> list[Any]:
    names = [
        graph.add(f"{name}_scale", np.float32(scale[0])),
        graph.add(f"{name}_zero", np.uint8(scale[1])),
    ]
    stored, given = f"{name}_quantised", f"{name}_dequantised"
    return [
        helper.make_node("QuantizeLinear", [begin, *names], [stored], f"{name}_quantise"),
        helper.make_node("DequantizeLinear", [stored, *names], [given], f"{name}_dequantise"),
    ]


def _barrier(graph: Graph, x: str, scale: tuple[float, int]) -> Any:
    """Limits that change nothing, between uint8 and a layer that stays in float32: onnxruntime
    (1.31) would quantise it all the same when it loads the graph, with one scale for all of its
    weights."""
    low, high = -scale[0] * scale[1], scale[0] * (255 - scale[1])
    names = [graph.add(f"{x}_low", np.float32(low)), graph.add(f"{x}_high", np.float32(high))]
    return helper.make_node("Clip", [x, *names], [f"{x}_limited"], f"{x}_limit")
