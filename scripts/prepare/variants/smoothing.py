"""Activations made smooth before they become int8, at their weights' expense.

A few channels of a transformer's activations are far larger than the others, to which one scale
for the tensor leaves few of 256 numbers. So each channel is divided by a factor, and its row of the
weights multiplied with it. After SmoothQuant (Xiao et al. 2022, arXiv:2211.10438). Agreement with
float32 on SQuAD and GoEmotions: 87.7 and 93.8 % without, 94.0 and 96.3 % with it; dynamic 91.0 and
93.9 %. It costs 2 % of the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.activation_ranges import ActivationRange, Ranges
from onnxferry.scripts.prepare.variants.linear_layers import is_transposed, linear_layers, matrix
from onnxferry.scripts.prepare.variants.onnx_graph import (
    add_computed,
    add_weight,
    held_by,
    operand,
    prepend,
)
from onnxferry.scripts.prepare.variants.rounding import largest

# 0: as the activations are, 1: all goes to the weights; 0.5 was worse by 5 points, 0.9 no better
STRENGTH = 0.75
_MIN = 1e-5  # of a channel that is never used


def smooth(graph: ir.Graph, keep: frozenset[str], ranges: Ranges) -> Ranges:
    """Smooth the inputs of the linear layers that are not in `keep`; the `ranges`, and those of the
    smoothed inputs. Layers that share weights stay as they are: each would need a copy."""
    layers = [node for node in linear_layers(graph) if node.name not in keep]
    readers: dict[ir.Value, list[ir.Node]] = defaultdict(list)
    for node in layers:
        readers[operand(node, 0)].append(node)
    uses = Counter(node.inputs[1] for node in layers)
    after = dict(ranges)
    for x, nodes in readers.items():
        if all(uses[node.inputs[1]] == 1 for node in nodes):
            seen = ranges[str(x.name)]
            factors = _factors(seen, nodes)
            smoothed = _smooth(x, nodes, factors)
            after[str(smoothed.name)] = ActivationRange(*(array / factors for array in seen))
    return after


def _factors(seen: ActivationRange, nodes: Sequence[ir.Node]) -> Array:
    """The channels' divisors, float32 [channels], of geometric mean 1."""
    activation = np.maximum(np.maximum(-seen.low, seen.high), _MIN)
    weight = np.maximum(np.max([largest(matrix(node)(), 1)[:, 0] for node in nodes], axis=0), _MIN)
    factors: Array = activation**STRENGTH / weight ** (1 - STRENGTH)
    factors /= np.exp(np.log(factors).mean())
    return factors.astype(np.float32)


def _smooth(x: ir.Value, nodes: Sequence[ir.Node], factors: Array) -> ir.Value:
    """The smoothed `x`, which its layers `nodes` then read."""
    inverse = add_weight(nodes[0], f"{x.name}_smoothing", 1 / factors)
    (smoothed,) = prepend(nodes[0], "Mul", [x, inverse], f"{x.name}_smoothed")
    for node in nodes:
        node.replace_input_with(0, smoothed)
        node.replace_input_with(1, _scaled(node, factors))
    return smoothed


def _scaled(node: ir.Node, factors: Array) -> ir.Value:
    """The weights of a layer with its channels times `factors`."""
    weights = operand(node, 1)
    held, rows = held_by(weights), factors if is_transposed(node) else factors[:, None]
    name, compute = f"{weights.name}_smoothed", lambda: held.read() * rows
    return add_computed(node, name, compute, held.shape, np.float32)
