"""Logits to labelled scores, for every task that classifies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scoring.engine import Array, Session
from scoring.errors import InternalError


def sigmoid(logits: Array) -> Array:
    result: Array = 1.0 / (1.0 + np.exp(-logits))
    return result


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


def identity(logits: Array) -> Array:
    return logits


FUNCTIONS: dict[str, Callable[[Array], Array]] = {"sigmoid": sigmoid, "softmax": softmax, "none": identity}


class Labels:
    """The names of a graph's scores, in the order of its output."""

    def __init__(self, names: Sequence[str], session: Session) -> None:
        """Raises ValueError when the graph is known to give another number of scores."""
        self._names = tuple(names)
        shape = session.outputs[0].shape
        if shape and isinstance(shape[-1], int) and shape[-1] != len(names):
            raise ValueError(f"'labels' holds {len(names)} names, the graph gives {shape[-1]} scores")

    def __len__(self) -> int:
        return len(self._names)

    def rank(self, scores: Array, top_k: int | None) -> list[dict[str, Any]]:
        """The `top_k` best (None: all) of scores [labels], best first; equal scores keep the labels' order."""
        if len(scores) != len(self._names):
            raise InternalError(f"the model gave {len(scores)} scores for {len(self._names)} labels")
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"label": self._names[i], "score": float(scores[i])} for i in order]
