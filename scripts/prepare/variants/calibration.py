"""A graph's activations on real inputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.subgraph import fed, session
from onnxferry.scripts.prepare.variants.variant_inputs import Material


@dataclass(frozen=True)
class Seen:
    """The smallest and the largest number and the mean of each of a tensor's channels over all
    inputs: float32 [channels] each. Nothing is cut off: the rare large activations of transformers
    matter, percentiles cost whole points of accuracy."""

    low: Array
    high: Array
    mean: Array

    def divided(self, factors: Array) -> Seen:
        """The same when each channel is divided by its factor."""
        return Seen(self.low / factors, self.high / factors, self.mean / factors)

    def scale(self) -> tuple[float, int]:
        """(scale, zero point) with which uint8 reaches from the smallest to the largest number;
        zero is exact."""
        low, high = min(float(self.low.min()), 0.0), max(float(self.high.max()), 0.0)
        scale = (high - low) / 255 or 1.0
        return scale, int(np.clip(round(-low / scale), 0, 255))


def observed(material: Material, channels: Mapping[str, int]) -> Mapping[str, Seen]:
    """What is seen in the tensors of `channels`, whose values say which of their axes is that of
    the channels.

    Measured once for a material, however many graphs are made of it.
    """
    return _observed(
        _Once(material, material.best.stat().st_mtime_ns, tuple(sorted(channels.items())))
    )


class _Once:
    """What is measured, compared by the calibration's identity: its arrays have no hash."""

    def __init__(
        self, material: Material, changed: int, channels: tuple[tuple[str, int], ...]
    ) -> None:
        self.material, self.channels = material, channels
        self._key = material.best, changed, channels, id(material.calibration)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self._key == other._key


@functools.lru_cache(maxsize=1)
def _observed(once: _Once) -> Mapping[str, Seen]:
    return measure(Graph.read(once.material.best), dict(once.channels), once.material.calibration)


def measure(
    graph: Graph, channels: Mapping[str, int], feeds: Sequence[Mapping[str, Array]]
) -> Mapping[str, Seen]:
    whole, names = graph.whole(), list(channels)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    part = helper.make_graph(
        whole.graph.node, "seen", whole.graph.input, ends, whole.graph.initializer
    )
    runner = session(
        helper.make_model(part, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    )
    found: dict[str, list[Seen]] = {name: [] for name in names}
    for feed in feeds:
        for name, array in zip(names, runner.run(names, fed(runner, feed)), strict=True):
            found[name].append(_seen(array, channels[name]))
    return {name: _together(parts) for name, parts in found.items()}


def _seen(array: Array, channel: int) -> Seen:
    rows = np.moveaxis(array, channel, -1).reshape(-1, array.shape[channel])
    return Seen(rows.min(0), rows.max(0), rows.mean(0))


def _together(parts: Sequence[Seen]) -> Seen:
    low, high = (
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
    )
    return Seen(low, high, np.mean([part.mean for part in parts], axis=0))
