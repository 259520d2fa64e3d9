"""The proof that a part of a graph is attention: its numbers.

The part is cut out, run on random activations and a random padding mask, and must give what plain
scaled dot-product attention gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import known
from onnxferry.scripts.prepare.variants.subgraph import run

# batch, tokens: wider than the usual windows; where positions do not allow it, a few
SHAPES = ((2, 131), (2, 7))
# of the largest number: additions in another order, on scores that random activations make large
TOLERANCE = 1e-3


@dataclass(frozen=True)
class AttentionCandidate:
    """What looks like an attention over the tensor `x` [batch, tokens, width]; `output` is the node
    that gives its result, `query` the tensor [batch, heads, tokens, size]. `weights` and `biases`
    are those of queries, keys and values, or one of each for all three."""

    name: str
    x: ir.Value
    output: ir.Node
    query: ir.Value
    weights: tuple[ir.Value, ...]
    biases: tuple[ir.Value | None, ...]

    def merged(self) -> tuple[Array, Array]:
        """Weights [width, 3 * width] and bias [3 * width] for queries, keys and values."""
        weights = [known(value) for value in self.weights]
        biases = [
            np.broadcast_to(np.float32(0) if b is None else np.ravel(known(b)), w.shape[1])
            for w, b in zip(weights, self.biases, strict=True)
        ]
        return np.concatenate(weights, 1), np.concatenate(biases)


@dataclass(frozen=True)
class ProvedAttention:
    """A candidate's form: `mask` is the graph's input [batch, tokens] that is 0 for padding, None
    where there is no mask; queries are to be multiplied with `factor` to have the operator's own
    scale."""

    candidate: AttentionCandidate
    heads: int
    mask: ir.Value | None
    factor: float


def prove(graph: ir.Graph, candidate: AttentionCandidate) -> ProvedAttention | None:
    """The form in which the operator gives the same numbers; None if there is none."""
    weights, bias = candidate.merged()
    runs = (_run(graph, candidate, shape, len(weights)) for shape in SHAPES)
    done = next((found for found in runs if found), None)
    if done is None or done[2].ndim != 4:
        return None
    feeds, want, query = done
    heads, size = query.shape[1], query.shape[-1]
    if weights.shape[1] != 3 * heads * size or want.shape[2:] != (heads * size,):
        return None
    projected = feeds[candidate.x].astype(np.float64) @ weights + bias
    masks = [None, *(value for value in feeds if value is not candidate.x)]
    for mask, factor in itertools.product(masks, (1.0, float(np.sqrt(size)))):
        got = _attention(projected, heads, factor, feeds[mask] if mask else None)
        if np.abs(got - want).max() <= TOLERANCE * np.abs(want).max():
            return ProvedAttention(candidate, heads, mask, factor)
    return None


def _run(
    graph: ir.Graph, candidate: AttentionCandidate, shape: tuple[int, int], width: int
) -> tuple[Mapping[ir.Value, Array], Array, Array] | None:
    """The feeds, the candidate's result and its queries; None where its part does not take such
    feeds."""
    feeds = _feeds(graph, candidate.x, shape, width)
    try:
        outputs = [candidate.output.outputs[0], candidate.query]
        ((want, query),) = run(graph, outputs, [feeds])
    except Exception:  # onnxruntime's errors have no other base
        return None
    return feeds, want, query


def _feeds(
    graph: ir.Graph, x: ir.Value, shape: tuple[int, int], width: int
) -> dict[ir.Value, Array]:
    """Random activations, and a random mask for each input of the graph."""
    draw = np.random.default_rng(0)
    feeds = {x: draw.standard_normal((*shape, width)).astype(np.float32)}
    for value in graph.inputs:
        if value is not x and value.dtype:
            mask = draw.random(shape) < 0.7
            mask[:, 0] = True
            feeds[value] = mask.astype(value.dtype.numpy())
    return feeds


def _attention(projected: Array, heads: int, factor: float, mask: Array | None) -> Array:
    """Scaled dot-product attention of [batch, tokens, 3 * width] in float64, queries multiplied
    with `factor`."""
    batch, tokens, width = projected.shape
    parts = projected.reshape(batch, tokens, 3, heads, width // 3 // heads).transpose(2, 0, 3, 1, 4)
    scores = factor * parts[0] @ parts[1].swapaxes(-1, -2) / np.sqrt(parts.shape[-1])
    if mask is not None:
        scores = np.where(mask[:, None, None, :] != 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ parts[2]
    result: Array = mixed.transpose(0, 2, 1, 3).reshape(batch, tokens, width // 3)
    return result
