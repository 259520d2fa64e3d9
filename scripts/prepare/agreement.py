"""When two final answers to one input count as the same, by task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

LEAST_COSINE = 0.99


def _best(answer: Any) -> dict[str, Any]:
    """The first entry of a ranking, or the answer itself."""
    while isinstance(answer, list):
        answer = answer[0]
    best: dict[str, Any] = answer
    return best


def same_span(expected: Any, got: Any, labels: int) -> bool:
    a, b = _best(expected), _best(got)
    return bool((a["start"], a["end"]) == (b["start"], b["end"]))


def same_label(expected: Any, got: Any, labels: int) -> bool:
    """The same best label; of a model with one label (a regression), a score within 5 %."""
    a, b = _best(expected), _best(got)
    if labels == 1:
        return math.isclose(a["score"], b["score"], rel_tol=0.05, abs_tol=0.05)
    return bool(a["label"] == b["label"])


def same_direction(expected: Any, got: Any, labels: int) -> bool:
    """Cosine similarity of the vectors; of token vectors, of all of them in a row."""
    a, b = (np.asarray(vectors, np.float64).ravel() for vectors in (expected, got))
    return bool(a @ b >= LEAST_COSINE * np.linalg.norm(a) * np.linalg.norm(b))


AGREE: dict[str, Callable[[Any, Any, int], bool]] = {
    "question-answering": same_span,
    "text-classification": same_label,
    "feature-extraction": same_direction,
    "image-classification": same_label,
}
"""(expected, got, number of labels) -> whether they count as the same answer."""
