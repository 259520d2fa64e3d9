"""The range of a graph's activations on real inputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto, helper

from scoring.engine import Array
from scripts.prepare.variants import linear
from scripts.prepare.variants.linear import Ranges
from scripts.prepare.variants.material import Material
from scripts.prepare.variants.run import fed, session
from scripts.prepare.variants.view import Graph

_ENDS = ("ReduceMin", "ReduceMax")


def ranges(material: Material) -> Ranges:
    """The smallest and the largest number in each input of a linear layer over all of the calibration; nothing is cut
    off, since the rare large activations of transformers matter: percentiles cost whole points of accuracy.

    Measured once for a material, however many graphs are made of it.
    """
    return _ranges(_Once(material, material.best.stat().st_mtime_ns))


class _Once:
    """A material by its identity: its arrays have no hash."""

    def __init__(self, material: Material, changed: int) -> None:
        self.material = material
        self._key = material.best, changed, id(material.calibration)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self._key == other._key


@functools.lru_cache(maxsize=1)
def _ranges(once: _Once) -> Ranges:
    graph = Graph.read(once.material.best)
    return measure(graph, linear.inputs(graph), once.material.calibration)


def measure(graph: Graph, tensors: Sequence[str], feeds: Sequence[Mapping[str, Array]]) -> Ranges:
    """The smallest and the largest number in each of `tensors` over all `feeds`."""
    names = [f"{name}_{op}" for name in tensors for op in _ENDS]
    nodes = [
        helper.make_node(op, [name], [f"{name}_{op}"], f"{name}_{op}", keepdims=0) for name in tensors for op in _ENDS
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in names]
    whole = graph.whole()
    part = helper.make_graph([*whole.graph.node, *nodes], "ranges", whole.graph.input, ends, whole.graph.initializer)
    runner = session(helper.make_model(part, opset_imports=whole.opset_import, ir_version=whole.ir_version))
    seen = np.array([runner.run(names, fed(runner, feed)) for feed in feeds]).reshape(len(feeds), -1, 2)
    lows, highs = seen[:, :, 0].min(0), seen[:, :, 1].max(0)
    return {name: (float(low), float(high)) for name, low, high in zip(tensors, lows, highs, strict=True)}
