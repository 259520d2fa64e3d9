"""The proof that a part of a graph is attention: its numbers.

The part is cut out, run on random activations and a random padding mask, and must give what plain
scaled dot-product attention gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.subgraph import run

# batch, tokens: wider than the usual windows; where positions do not allow it, a few
SHAPES = ((2, 131), (2, 7))
# of the largest number: additions in another order, on scores that random activations make large
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Candidate:
    """What looks like an attention over the tensor `x` [batch, tokens, width]; `output` is the node
    that gives its result, `query` the tensor [batch, heads, tokens, size]."""

    name: str
    x: str
    output: Any
    query: str
    weights: tuple[str, ...]
    biases: tuple[str | None, ...]


@dataclass(frozen=True)
class Proved:
    """A candidate's form: `mask` names the graph's input [batch, tokens] that is 0 for padding,
    None where there is no mask; queries are to be multiplied with `factor` to have the operator's
    own scale."""

    candidate: Candidate
    heads: int
    mask: str | None
    factor: float


def prove(graph: Graph, candidate: Candidate) -> Proved | None:
    """The form in which the operator gives the same numbers; None if there is none."""
    weights, bias = merged(graph, candidate)
    tried = (
        _run(graph, candidate, _feeds(graph, candidate, shape, len(weights))) for shape in SHAPES
    )
    done = next((run for run in tried if run), None)
    if done is None:
        return None
    feeds, want, query = done
    heads, size = query.shape[1], query.shape[-1]
    if query.ndim != 4 or weights.shape[1] != 3 * heads * size or want.shape[2:] != (heads * size,):
        return None
    projected = feeds[candidate.x].astype(np.float64) @ weights + bias
    masks = [None, *(name for name in feeds if name != candidate.x)]
    for mask, factor in itertools.product(masks, (1.0, float(np.sqrt(size)))):
        got = _attention(projected, heads, factor, feeds[mask] if mask else None)
        if np.abs(got - want).max() <= TOLERANCE * np.abs(want).max():
            return Proved(candidate, heads, mask, factor)
    return None


def _run(
    graph: Graph, candidate: Candidate, feeds: Mapping[str, Array]
) -> tuple[Mapping[str, Array], Array, Array] | None:
    """The feeds, the candidate's result and its queries; None where the part does not take such
    feeds."""
    try:
        want, query = run(graph, [candidate.output.output[0], candidate.query], feeds)
    except Exception:  # whatever the runtime says to it
        return None
    return feeds, want, query


def _feeds(
    graph: Graph, candidate: Candidate, shape: tuple[int, int], width: int
) -> dict[str, Array]:
    """Random activations, and a random mask for each input of the graph that the attention depends
    on."""
    draw = np.random.default_rng(0)
    _, leaves = graph.ancestors([candidate.output.output[0]], [candidate.x])
    feeds: dict[str, Array] = {
        candidate.x: draw.standard_normal((*shape, width)).astype(np.float32)
    }
    for value in graph.inputs:
        if value.name in leaves and value.name not in feeds:
            kind = value.type.tensor_type
            mask = draw.random(shape) < 0.7
            mask[:, 0] = True
            feeds[value.name] = mask.astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
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


def merged(graph: Graph, candidate: Candidate) -> tuple[Array, Array]:
    """Weights [width, 3 * width] and bias [3 * width] for queries, keys and values."""
    weights = [graph.known(name) for name in candidate.weights]
    biases = [
        (
            np.zeros(w.shape[1], np.float32)
            if b is None
            else np.broadcast_to(np.ravel(graph.known(b)), w.shape[1])
        )
        for w, b in zip(weights, candidate.biases, strict=True)
    ]
    return np.concatenate(weights, 1), np.concatenate(biases)
