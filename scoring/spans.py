"""The method of extractive question answering: the best spans within a window.

Probabilities of start and end are softmaxes over the context and the leading [CLS], which stands
for "no answer"; a span's score is their product (arXiv:1810.04805, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxferry.scoring.engine import Array
from onnxferry.scoring.labels import softmax
from onnxferry.scoring.tokenization import Range
from onnxferry.scoring.windows import Window


@dataclass(frozen=True)
class Span:
    """Tokens first..last of the whole sequence, their probability and the sum of their logits, and
    the window's tokens [start, stop)."""

    probability: float
    logits: float
    first: int
    last: int
    within: Range = (0, 0)


@dataclass(frozen=True)
class NoAnswer:
    """That there is none, by one window: its probability and the sum of its logits."""

    probability: float
    logits: float


def best_spans(
    logits: tuple[Array, Array], window: Window, top_k: int, max_tokens: int
) -> tuple[list[Span], NoAnswer]:
    """The `top_k` best spans of a window, best first, and no answer. `logits` of start and end are
    each float [length of the window, or more]."""
    allowed = np.zeros(len(window.tokens), bool)
    allowed[0] = allowed[window.first : window.stop] = True
    raw = [values[: len(allowed)].astype(np.float32, copy=False) for values in logits]
    start, end = (softmax(np.where(allowed, values, -np.inf)) for values in raw)
    none = NoAnswer(float(start[0] * end[0]), float(raw[0][0] + raw[1][0]))
    inside = slice(window.first, window.stop)
    width = window.stop - window.first
    possible = np.tril(np.triu(np.ones((width, width), bool)), max_tokens - 1)
    scores = np.where(possible, np.outer(start[inside], end[inside]), -1).ravel()
    count = min(top_k, int(possible.sum()))
    best = np.argpartition(-scores, count - 1)[:count]
    best = best[np.argsort(-scores[best], kind="stable")]
    shift = window.first + window.shift
    within = shift, window.stop + window.shift
    spans = []
    for place in best:
        s, e = divmod(int(place), width)
        total = float(raw[0][window.first + s] + raw[1][window.first + e])
        spans.append(Span(float(scores[place]), total, s + shift, e + shift, within))
    return spans, none
