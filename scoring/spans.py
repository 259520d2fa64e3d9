"""The method of extractive question answering: windows over a long context, and the best spans within a window.

As in transformers' question-answering pipeline (and BERT's SQuAD recipe, arXiv:1810.04805, section 4.2): start and end
probabilities are softmaxes over the context and the leading [CLS], which stands for "no answer"; a span's score is
their product; the best span is sought jointly over all spans of at most max_answer_len tokens, so that none ends before
it starts or leaves the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scoring.engine import Array
from scoring.tokenization import Pair, Tokens


@dataclass(frozen=True)
class Window:
    """One sequence for the model. Its tokens first..stop-1 are context; token i is token i + shift of the pair."""

    tokens: Tokens
    first: int
    stop: int
    shift: int


@dataclass(frozen=True)
class Span:
    """Tokens first..last of the pair, and the probability that they are the answer."""

    score: float
    first: int
    last: int


def count_windows(pair: Pair, max_length: int, stride: int) -> int:
    """How many `windows` will give."""
    context = pair.second[1] - pair.second[0]
    room = max_length - (len(pair.tokens) - context)
    return 1 + max(0, -((room - context) // (room - stride)))


def windows(pair: Pair, max_length: int, stride: int) -> Iterator[Window]:
    """The pair as sequences of at most `max_length` tokens, each with all of the question and a part of the context.

    A part begins with the last `stride` tokens of the one before; `stride` must be below the room for context.
    """
    first, stop = pair.second
    ids, types = pair.tokens.ids, pair.tokens.type_ids
    room = max_length - (len(ids) - (stop - first))
    for start in range(first, stop, room - stride):
        end = min(start + room, stop)
        keep = np.r_[0:first, start:end, stop : len(ids)]
        yield Window(Tokens(ids[keep], types[keep]), first, first + end - start, start - first)
        if end == stop:
            return


def best_spans(logits: tuple[Array, Array], window: Window, top_k: int, max_tokens: int) -> tuple[list[Span], float]:
    """The `top_k` best spans of a window, best first, and the probability of no answer.

    `logits` are those of start and end, each float [length of the window].
    """
    allowed = np.zeros(len(window.tokens), bool)
    allowed[0] = allowed[window.first : window.stop] = True
    start, end = (_softmax(values[: len(allowed)], allowed) for values in logits)
    none = float(start[0] * end[0])
    inside = slice(window.first, window.stop)
    width = window.stop - window.first
    possible = np.tril(np.triu(np.ones((width, width), bool)), max_tokens - 1)
    flat = np.where(possible, np.outer(start[inside], end[inside]), -1).ravel()
    count = min(top_k, int(possible.sum()))
    best = np.argpartition(-flat, count - 1)[:count]
    found = [(float(flat[k]), *divmod(int(k), width)) for k in best[np.argsort(-flat[best], kind="stable")]]
    offset = window.first + window.shift
    return [Span(score, s + offset, e + offset) for score, s, e in found], none


def _softmax(logits: Array, allowed: Array) -> Array:
    masked = np.where(allowed, logits, -np.inf)
    exponents = np.exp(masked - masked.max())
    result: Array = exponents / exponents.sum()
    return result
