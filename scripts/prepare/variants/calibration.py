"""A graph's activations on real inputs, which static int8 takes its scales from."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.subgraph import run
from onnxferry.scripts.prepare.variants.variant import VariantInputs


@dataclass(frozen=True)
class ActivationRange:
    """The smallest and the largest number and the mean of each channel of a tensor over all inputs:
    float32 [channels] each. Nothing is cut off: the rare large activations of transformers matter,
    percentiles cost whole points of accuracy."""

    low: Array
    high: Array
    mean: Array

    def divided(self, factors: Array) -> ActivationRange:
        """The range when each channel is divided by its factor; `factors`: float32 [channels]."""
        return ActivationRange(self.low / factors, self.high / factors, self.mean / factors)

    def uint8(self) -> tuple[float, int]:
        """(scale, zero point) with which uint8 reaches from the smallest to the largest number;
        zero is exact."""
        low, high = min(float(self.low.min()), 0.0), max(float(self.high.max()), 0.0)
        scale = (high - low) / 255 or 1.0
        return scale, int(np.clip(round(-low / scale), 0, 255))


Ranges: TypeAlias = Mapping[str, ActivationRange]
"""Tensor name -> its range."""


def activation_ranges(inputs: VariantInputs, channels: Mapping[str, int]) -> Ranges:
    """The ranges of the tensors `channels` (name -> axis of its channels) in the graph that int8 is
    made of. The last measurement is kept: mixed precision asks for it once a graph."""
    return _measured(inputs, tuple(sorted(channels.items())))


@functools.lru_cache(maxsize=1)
def _measured(inputs: VariantInputs, channels: tuple[tuple[str, int], ...]) -> Ranges:
    graph = onnx_graph.read(inputs.best).graph
    return measure_ranges(graph, dict(channels), inputs.calibration)


def measure_ranges(
    graph: ir.Graph, channels: Mapping[str, int], feeds: Sequence[Mapping[str, Array]]
) -> Ranges:
    """The ranges of the tensors `channels` (name -> axis of its channels) over all `feeds`."""
    values = ir.convenience.create_value_mapping(graph)
    typed = [
        {v: feed[str(v.name)].astype(v.dtype.numpy(), copy=False) for v in graph.inputs if v.dtype}
        for feed in feeds
    ]
    found: dict[str, list[ActivationRange]] = {name: [] for name in channels}
    for arrays in run(graph, [values[name] for name in channels], typed):
        for (name, axis), array in zip(channels.items(), arrays, strict=True):
            found[name].append(_range(array, axis))
    return {name: _union(parts) for name, parts in found.items()}


def _range(array: Array, axis: int) -> ActivationRange:
    rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
    return ActivationRange(rows.min(0), rows.max(0), rows.mean(0))


def _union(parts: Sequence[ActivationRange]) -> ActivationRange:
    return ActivationRange(
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
        np.mean([part.mean for part in parts], axis=0),
    )
