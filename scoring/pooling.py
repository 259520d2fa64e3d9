"""Vectors of texts from what a graph gives: token vectors pooled as sentence-transformers does, or
a graph's own sentence vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from onnxferry.scoring import validation
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.tokenization import Tokens

Read: TypeAlias = Callable[[Sequence[Array], Tokens], Array]
"""(one text's row of every output, its tokens) -> [1, tokens, hidden] or [hidden]"""


def _weighted_mean(vectors: Array, first: int) -> Array:
    """The later a token, the more it counts; `first` is the position of the first."""
    weights = np.arange(first + 1, first + len(vectors) + 1, dtype=np.float32)[:, None]
    result: Array = (vectors * weights).sum(axis=0) / weights.sum()
    return result


# of the token vectors [tokens, hidden], and the position of the first; named as by the library
POOLINGS: dict[str, Callable[[Array, int], Array]] = {
    "none": lambda vectors, _: vectors[None],
    "cls": lambda vectors, _: vectors[0],
    "max": lambda vectors, _: vectors.max(axis=0),
    "mean": lambda vectors, _: vectors.mean(axis=0),
    "mean_sqrt_len_tokens": lambda vectors, _: vectors.sum(axis=0) / np.sqrt(len(vectors)),
    "weightedmean": _weighted_mean,
    "lasttoken": lambda vectors, _: vectors[-1],
}
TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")  # [batch, tokens, hidden]
POOLED_OUTPUTS = ("sentence_embedding", "pooler_output")  # [batch, hidden]
DEFAULT = (POOLED_OUTPUTS[0], "none", *POOLED_OUTPUTS)  # the first that a graph has


def normalized(vectors: Array) -> Array:
    """Vectors of the last axis at length 1; zero stays zero."""
    result: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result


def readers(runner: Runner) -> dict[str, Read]:
    """What a graph gives, by pooling."""
    names = [t.name for t in runner.outputs]
    found = {name: _output(names.index(name)) for name in POOLED_OUTPUTS if name in names}
    tokens = [names.index(name) for name in TOKEN_OUTPUTS if name in names]
    tokens += [i for i, output in enumerate(runner.outputs) if len(output.shape) == 3]
    if tokens or not found:
        index = tokens[0] if tokens else 0  # a graph need not say its shapes
        found |= {name: _pooled(index, pool) for name, pool in POOLINGS.items()}
    return found


def together(known: Mapping[str, Read], names: Sequence[str]) -> Read:
    """The vectors of all `names`, one after the other."""
    if len(names) == 1:
        return known[names[0]]
    return lambda row, tokens: np.concatenate([known[name](row, tokens) for name in names])


def read(known: Iterable[str]) -> Callable[[object, str], tuple[str, ...]]:
    """A reader of one pooling, or a list of several that each give one vector."""
    one, several = validation.one_of(*known), validation.one_of(*(n for n in known if n != "none"))

    def names(value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            return (one(value, where),)
        if not value:
            raise InvalidValue(f"'{where}' is an empty list; expected at least one pooling")
        return tuple(several(item, f"{where}[{i}]") for i, item in enumerate(value))

    return names


def _output(index: int) -> Read:
    return lambda row, _: row[index]


def _pooled(index: int, pool: Callable[[Array, int], Array]) -> Read:
    def read_row(row: Sequence[Array], tokens: Tokens) -> Array:
        return pool(row[index][tokens.prompt : len(tokens)], tokens.prompt)

    return read_row
