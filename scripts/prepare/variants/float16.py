"""Weights stored as float16: half the file. onnxruntime makes float32 of them once, when it loads
the graph, so that a run is as fast as in float32, and needs as much memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from onnxferry.scripts.prepare.variants.onnx_graph import Graph

LEAST = 2**12  # numbers of the smallest weight that is stored as float16
_LARGEST = float(np.finfo(np.float16).max)


def halves(graph: Graph, keep: frozenset[str] = frozenset()) -> list[str]:
    """The weights that fit float16, but for those of the operators in `keep`."""
    large = [
        t.name
        for t in graph.model.graph.initializer
        if t.data_type == TensorProto.FLOAT and _size(t) >= LEAST
    ]
    free = [name for name in large if not any(node.name in keep for node in graph.consumers(name))]
    return [
        name
        for name in free
        if (value := graph.constant(name)) is not None and np.abs(value).max() <= _LARGEST
    ]


def halve(graph: Graph, keep: frozenset[str]) -> None:
    """Store the weights as float16, each with a Cast that gives it back under its name."""
    casts: list[Any] = []
    for name in halves(graph, keep):
        stored = graph.swap(name, f"{name}_half", np.float16)
        casts.append(
            helper.make_node("Cast", [stored], [name], f"{name}_cast", to=TensorProto.FLOAT)
        )
    graph.replace({}, casts)


def _size(tensor: Any) -> int:
    shape: Sequence[int] = tensor.dims
    return int(np.prod(shape))
