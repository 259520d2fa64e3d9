"""A graph's activations on real inputs, which static int8 takes its scales from."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.subgraph import run
from onnxferry.scripts.prepare.variants.variant import VariantInputs


class ActivationRange(NamedTuple):
    """The smallest and largest number and the mean of each channel over all inputs, float32
    [channels]. Nothing is cut off: percentiles cost transformers whole points of accuracy."""

    low: Array
    high: Array
    mean: Array

    def uint8(self) -> tuple[float, int]:
        """(scale, zero point) with which uint8 spans the tensor's numbers; zero is exact."""
        low, high = min(float(self.low.min()), 0.0), max(float(self.high.max()), 0.0)
        scale = (high - low) / 255 or 1.0
        return scale, int(np.clip(round(-low / scale), 0, 255))


Ranges = Mapping[str, ActivationRange]  # by the tensor's name


@functools.lru_cache(maxsize=1)  # mixed precision asks for the same ones once a graph
def activation_ranges(inputs: VariantInputs, channels: tuple[tuple[str, int], ...]) -> Ranges:
    """As `measure_ranges`, in the graph that int8 is made of."""
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
    found: dict[str, list[Array]] = {name: [] for name in channels}
    for arrays in run(graph, [values[name] for name in channels], typed):
        for (name, axis), array in zip(channels.items(), arrays, strict=True):
            rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
            found[name].append(np.stack([rows.min(0), rows.max(0), rows.mean(0)]))
    return {name: _union(np.stack(parts, 1)) for name, parts in found.items()}


def _union(parts: Array) -> ActivationRange:
    """Of [3, inputs, channels]: the smallest, the largest and the mean of each input."""
    return ActivationRange(parts[0].min(0), parts[1].max(0), parts[2].mean(0))
