"""The proof that a part of a graph is attention: run on random activations and a random padding
mask, it gives what plain scaled dot-product attention gives.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import constant, known
from onnxferry.scripts.prepare.variants.subgraph import run

# batch, tokens: wider than usual windows, or few, where positions end earlier
SHAPES = ((2, 131), (2, 7))
# of the largest number: sums of large scores in another order
TOLERANCE = 1e-3


@dataclass(frozen=True)
class AttentionCandidate:
    """What looks like an attention over `x` [batch, tokens, width]; `output` gives its result,
    `query` is [batch, heads, tokens, size]; `weights` and `biases` of queries, keys and values, or
    one for all three."""

    name: str
    x: ir.Value
    output: ir.Node
    query: ir.Value
    weights: tuple[ir.Value, ...]
    biases: tuple[ir.Value | None, ...]

    @property
    def fixed(self) -> tuple[tuple[int, int], ...]:
        """Two rows of the number of tokens that the graph is made for, if it is made for one."""
        shape = constant(self.output.inputs[1])
        is_fixed = shape is not None and shape.size == 3 and shape[1] > 0
        return ((2, int(shape[1])),) if shape is not None and is_fixed else ()

    def merged(self) -> tuple[Array, Array]:
        """Weights [width, 3 * width] and bias [3 * width] of queries, keys and values."""
        weights = [known(value) for value in self.weights]
        biases = [
            np.broadcast_to(np.float32(0) if b is None else np.ravel(known(b)), w.shape[1])
            for w, b in zip(weights, self.biases, strict=True)
        ]
        return np.concatenate(weights, 1), np.concatenate(biases)


@dataclass(frozen=True)
class ProvedAttention:
    """A candidate's form: `mask` is the graph's input [batch, tokens] that is 0 for padding, if
    any; queries times `factor` have the operator's own scale."""

    candidate: AttentionCandidate
    heads: int
    mask: ir.Value | None
    factor: float


def prove(graph: ir.Graph, candidate: AttentionCandidate) -> ProvedAttention | None:
    """The form in which the operator gives the same numbers, if any."""
    weights, bias = candidate.merged()
    shapes = (*SHAPES, *candidate.fixed)
    runs = (_run(graph, candidate, (*shape, len(weights))) for shape in shapes)
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
    graph: ir.Graph, candidate: AttentionCandidate, shape: tuple[int, int, int]
) -> tuple[dict[ir.Value, Array], Array, Array] | None:
    """The feeds, the result and the queries; None where the candidate does not take the feeds."""
    feeds = random_inputs(graph, shape[:2])
    feeds[candidate.x] = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    outputs = [candidate.output.outputs[0], candidate.query]
    try:
        ((want, query),) = run(graph, outputs, [feeds])
    except Exception:  # onnxruntime's errors have no other base
        return None
    return feeds, want, query


def random_inputs(graph: ir.Graph, shape: tuple[int, ...]) -> dict[ir.Value, Array]:
    """A random mask [batch, tokens] for each input of the graph; the first token is never off."""
    draw = np.random.default_rng(0)
    feeds = {}
    for value in graph.inputs:
        if value.dtype:
            mask = draw.random(shape) < 0.7
            mask[:, 0] = True
            feeds[value] = mask.astype(value.dtype.numpy())
    return feeds


def every_token(graph: ir.Graph, shape: tuple[int, int]) -> dict[ir.Value, Array]:
    """Ones for each input of the graph: no token is padding."""
    return {v: np.ones(shape, v.dtype.numpy()) for v in graph.inputs if v.dtype}


def _attention(projected: Array, heads: int, factor: float, mask: Array | None) -> Array:
    """Scaled dot-product attention of [batch, tokens, 3 * width], queries times `factor`."""
    batch, tokens, width = projected.shape
    parts = projected.reshape(batch, tokens, 3, heads, width // 3 // heads).transpose(2, 0, 3, 1, 4)
    scores = factor * parts[0] @ parts[1].swapaxes(-1, -2) / np.sqrt(parts.shape[-1])
    if mask is not None:
        scores = np.where(mask[:, None, None, :] != 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ parts[2]
    result: Array = mixed.transpose(0, 2, 1, 3).reshape(batch, tokens, width // 3)
    return result
