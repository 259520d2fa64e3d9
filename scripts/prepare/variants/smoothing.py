"""Activations made smooth before they become int8, at their weights' expense.

A few channels of a transformer's activations are many times larger than all others, and one scale
for the whole tensor leaves the others few of its 256 numbers. So each channel is divided by a
factor, and its row of the weights multiplied with it: the product is the same, and both sides lose
little. After SmoothQuant (Xiao et al. 2022, arXiv:2211.10438).

Measured on the demo's models, agreement with float32 on 300 SQuAD questions and 1500 comments of
GoEmotions: static int8 87.7 and 93.8 % without it, 94.0 and 96.3 % with it; dynamic int8 91.0 and
93.9 %. It costs 2 % of the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.calibration import Seen
from onnxferry.scripts.prepare.variants.linear import linears
from onnxferry.scripts.prepare.variants.onnx_graph import Graph, attributes

# 0: all is left to the activations, 1: to the weights. 0.5 was worse by 5 points, 0.9 no better
STRENGTH = 0.75
_LEAST = 1e-5  # of a channel that is never used


def smooth(graph: Graph, keep: frozenset[str], seen: Mapping[str, Seen]) -> Mapping[str, Seen]:
    """Smooth the inputs of the linear layers that are not in `keep`; what is `seen` in them after
    that."""
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in linears(graph):
        if node.name not in keep:
            readers[node.input[0]].append(node)
    shared = Counter(node.input[1] for nodes in readers.values() for node in nodes)
    after = dict(seen)
    replacements: dict[str, Sequence[Any]] = {}
    for x, nodes in readers.items():
        # else a copy of the weights for each layer
        if all(shared[node.input[1]] == 1 for node in nodes):
            factors = _factors(seen[x], [_rows(graph, node) for node in nodes])
            after[f"{x}_smoothed"] = seen[x].divided(factors)
            replacements |= _smoothed(graph, x, nodes, factors)
    graph.replace(replacements)
    return after


def _factors(seen: Seen, weights: Sequence[Array]) -> Array:
    """What each channel is divided by; their geometric mean is 1."""
    activation = np.maximum(np.maximum(np.abs(seen.low), np.abs(seen.high)), _LEAST)
    weight = np.maximum(np.max([np.abs(matrix).max(1) for matrix in weights], axis=0), _LEAST)
    factors = activation**STRENGTH / weight ** (1 - STRENGTH)
    result: Array = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return result


def _smoothed(
    graph: Graph, x: str, nodes: Sequence[Any], factors: Array
) -> dict[str, Sequence[Any]]:
    """The layers that read `x`, over its smoothed form, which is made before the first of them."""
    inverse = graph.add(f"{x}_smoothing", 1 / factors)
    first = helper.make_node("Mul", [x, inverse], [f"{x}_smoothed"], f"{x}_smoothed")
    layers = [_reading(graph, node, f"{x}_smoothed", factors) for node in nodes]
    return {
        node.name: [first, layer] if i == 0 else [layer]
        for i, (node, layer) in enumerate(zip(nodes, layers, strict=True))
    }


def _reading(graph: Graph, node: Any, x: str, factors: Array) -> Any:
    weights = _rows(graph, node) * factors[:, None]
    layer = NodeProto()
    layer.CopyFrom(node)
    layer.input[0] = x
    layer.input[1] = graph.add(
        f"{node.input[1]}_smoothed", weights.T if _transposed(node) else weights
    )
    return layer


def _rows(graph: Graph, node: Any) -> Array:
    """The weights of a linear layer, [channels, outputs]."""
    value = graph.known(node.input[1])
    return value.T if _transposed(node) else value


def _transposed(node: Any) -> bool:
    return bool(attributes(node).get("transB"))
