"""Where a graph with convolutions becomes int8: which operators, and which tensors are uint8 for
that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scripts.prepare.variants.linear import is_linear
from onnxferry.scripts.prepare.variants.onnx_graph import Graph, attributes

# the numbers of their input, so its scale
_PASSED_ON = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose")
_CARRIERS = (
    "Add",
    "Mul",
    "Concat",
    "GlobalAveragePool",
    "AveragePool",
    "LeakyRelu",
    "Sigmoid",
    *_PASSED_ON,
)


@dataclass(frozen=True)
class Points:
    """`layers`: the operators with weights that run in int8. `tensors`: what is stored as uint8 ->
    where it is taken: limits such as Relu that follow an operator need no operator, since they are
    the limits of the uint8's range. `passed_on`: a tensor that holds the numbers of another -> that
    other."""

    layers: tuple[Any, ...]
    tensors: Mapping[str, str]
    passed_on: Mapping[str, str]

    def source(self, name: str) -> str:
        """The tensor whose range `name` has."""
        return self.source(self.passed_on[name]) if name in self.passed_on else name

    @property
    def channels(self) -> dict[str, int]:
        """All tensors whose range is needed, and which axis of theirs is that of the channels."""
        convolved = {node.input[0] for node in self.layers if node.op_type == "Conv"}
        return {name: 1 if name in convolved else -1 for name in self.tensors}


def convolutions(graph: Graph) -> list[Any]:
    """The convolutions whose weights are constants."""
    return [node for node in graph.nodes if node.op_type == "Conv" and _fits(graph, node)]


def points(graph: Graph, keep: frozenset[str]) -> Points:
    """What runs in int8 where the operators in `keep` do not."""
    convolving = {node.name for node in convolutions(graph)}
    products = {
        n.name for n in graph.nodes if n.op_type in ("MatMul", "Gemm") and is_linear(graph, n)
    }
    layers = tuple(n for n in graph.nodes if n.name in convolving | products and n.name not in keep)
    stored = {node.input[0] for node in layers} | {
        _end(graph, n) for n in layers if n.name in convolving
    }
    passed_on: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type in _CARRIERS and _all_stored(graph, node, stored):
            stored.add(_end(graph, node))
            if node.op_type in _PASSED_ON:
                passed_on[_end(graph, node)] = node.input[0]
    return Points(layers, {name: _begin(graph, name) for name in sorted(stored)}, passed_on)


def _fits(graph: Graph, node: Any) -> bool:
    weights = graph.constant(node.input[1]) if graph.is_constant(node.input[1]) else None
    bias = len(node.input) < 3 or graph.is_constant(node.input[2])
    return bias and weights is not None and weights.dtype == np.float32


def _all_stored(graph: Graph, node: Any, stored: set[str]) -> bool:
    """Whether all that a node computes with is stored as uint8; shapes are not computed with."""
    computed = node.input[:1] if node.op_type in _PASSED_ON else node.input
    return all(name in stored for name in computed)


def _end(graph: Graph, node: Any) -> str:
    """A node's result, after the limits that follow it."""
    name: str = node.output[0]
    readers = graph.consumers(name)
    if len(readers) == 1 and not graph.is_output(name) and _limits(graph, readers[0]):
        return str(readers[0].output[0])
    return name


def _begin(graph: Graph, name: str) -> str:
    """The tensor that `name` is but for its limits."""
    node = graph.producer(name)
    if node is None or graph.is_output(name) or not _limits(graph, node):
        return name
    source: str = node.input[0]
    return source if len(graph.consumers(source)) == 1 and not graph.is_output(source) else name


def _limits(graph: Graph, node: Any) -> bool:
    """Whether a node only cuts off numbers below or above limits around zero."""
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip":
        return False
    given = attributes(node)
    ends = [graph.constant(name) if name else None for name in node.input[1:]]
    low = given.get("min", ends[0] if ends else None)
    high = given.get("max", ends[1] if len(ends) > 1 else None)
    known = all(graph.is_constant(name) for name in node.input[1:] if name)
    return known and (low is None or float(low) <= 0) and (high is None or float(high) >= 0)
