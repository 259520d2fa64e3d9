"""Logits to labelled scores, for every task that classifies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InternalError


def sigmoid(logits: Array) -> Array:
    """Of each logit by itself; the shape stays."""
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is 0, as it should be
        result: Array = 1.0 / (1.0 + np.exp(-logits))
    return result


def softmax(logits: Array) -> Array:
    """Over the last axis; the shape stays."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits,
}

PROBLEMS = {  # `problem_type` of a transformers configuration -> the key of FUNCTIONS
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
    "regression": "none",
}


def default_function(problem: str | None, labels: int) -> str:
    """The key of FUNCTIONS that transformers applies to the logits of so many labels."""
    if labels == 1 and problem != "regression":
        return "sigmoid"
    return PROBLEMS[problem or "single_label_classification"]


def logits_output(runner: Runner) -> int:
    """The index of the output `logits`, else of the first."""
    names = [t.name for t in runner.outputs]
    return names.index("logits") if "logits" in names else 0


class Labels:
    """The names of a graph's scores, in the order of its output."""

    def __init__(self, names: Sequence[str], runner: Runner) -> None:
        """Raises ValueError when there are none, or not as many as scores."""
        self.names = tuple(names)
        self._output = logits_output(runner)
        if not names:
            raise ValueError("'labels' is empty; list them in the order of the model's output")
        *_, size = runner.outputs[self._output].shape or ("?",)
        if isinstance(size, int) and size != len(names):
            raise ValueError(f"'labels' holds {len(names)} names, the graph gives {size} scores")

    def __len__(self) -> int:
        return len(self.names)

    def logits(self, row: Sequence[Array]) -> Array:
        """float32 [..., labels] of one item's row of every output. Raises InternalError."""
        logits, count = row[self._output], len(self.names)
        if logits.ndim < 1 or logits.shape[-1] != count:
            shape = list(logits.shape)
            raise InternalError(f"the model gave scores of shape {shape} for {count} labels")
        return logits.astype(np.float32, copy=False)

    def best(self, scores: Array) -> dict[str, Any]:
        """{"label", "score"} of the best of scores [labels]."""
        index = int(scores.argmax())
        return {"label": self.names[index], "score": float(scores[index])}

    def all(self, scores: Array) -> list[dict[str, Any]]:
        """Each of scores [labels], in the labels' order."""
        named = zip(self.names, scores.tolist(), strict=True)
        return [{"label": name, "score": score} for name, score in named]

    def top(self, scores: Array, top_k: int | None) -> list[dict[str, Any]]:
        """The `top_k` best (None: all) of scores [labels], best first."""
        order = np.argsort(-scores, kind="stable")[:top_k]
        found = zip(order.tolist(), scores[order].tolist(), strict=True)
        return [{"label": self.names[i], "score": score} for i, score in found]
