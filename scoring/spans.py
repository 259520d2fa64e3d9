"""Windows over a long text, and the method of extractive question answering: the best spans within
a window.

As in transformers' question-answering pipeline (and BERT's SQuAD recipe, arXiv:1810.04805, section
4.2): start and end probabilities are softmaxes over the context and the leading [CLS], which stands
for "no answer"; a span's score is their product; the best span is sought jointly over all spans of
at most max_answer_len tokens, so that none ends before it starts or leaves the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.tokenization import Encoded, Range, Tokens


@dataclass(frozen=True)
class Window:
    """One sequence for the model. Its tokens first..stop-1 are of the text that is cut; token i is
    token i + shift of the whole sequence."""

    tokens: Tokens
    first: int
    stop: int
    shift: int

    @property
    def tokens_of_text(self) -> range:
        """The text's tokens in the whole sequence."""
        return range(self.first + self.shift, self.stop + self.shift)


@dataclass(frozen=True)
class Span:
    """Tokens first..last of the whole sequence, the probability that they are the answer, the sum
    of their logits, and the window's tokens [start, stop) that they were found among."""

    probability: float
    logits: float
    first: int
    last: int
    within: Range = (0, 0)


@dataclass(frozen=True)
class Null:
    """No answer: its probability and the sum of its logits, as one window has it."""

    probability: float
    logits: float


def room(encoded: Encoded, side: int, max_length: int) -> int:
    """How many tokens of text `side` a window of `max_length` tokens has besides all others."""
    return max_length - (len(encoded) - encoded.size(side))


def expect_stride(encoded: Encoded, side: int, max_length: int, stride: tuple[str, int]) -> None:
    """Raise InvalidValue that names the parameter when windows are needed and cannot share `stride`
    = (its name, tokens)."""
    (name, tokens), space = stride, room(encoded, side, max_length)
    if encoded.size(side) > space and tokens >= space:
        raise InvalidValue(
            f"'parameters.{name}' is {tokens}; for this text it must be below {max(space, 0)}"
            " tokens"
        )


def count_windows(encoded: Encoded, side: int, max_length: int, stride: int) -> int:
    """How many `windows` will give."""
    size, space = encoded.size(side), room(encoded, side, max_length)
    return 1 if size <= space else 1 - (space - size) // (space - stride)


def windows(encoded: Encoded, side: int, max_length: int, stride: int) -> Iterator[Window]:
    """The sequence as sequences of at most `max_length` tokens, each with a part of text `side` and
    all of the rest.

    A part begins with the last `stride` tokens of the one before; `stride` must be below the `room`
    for a part, if one part is not enough.
    """
    first, stop = encoded.ranges[side]
    space = room(encoded, side, max_length)
    for start in range(first, stop, max(space - stride, 1)):
        end = min(start + space, stop)
        yield Window(encoded.keep(side, start, end), first, first + end - start, start - first)
        if end == stop:
            return


def best_spans(
    logits: tuple[Array, Array], window: Window, top_k: int, max_tokens: int
) -> tuple[list[Span], Null]:
    """The `top_k` best spans of a window, best first, and no answer.

    `logits` are those of start and end, each float [length of the window].
    """
    allowed = np.zeros(len(window.tokens), bool)
    allowed[0] = allowed[window.first : window.stop] = True
    raw = [values[: len(allowed)].astype(np.float32, copy=False) for values in logits]
    start, end = (_softmax(values, allowed) for values in raw)
    none = Null(float(start[0] * end[0]), float(raw[0][0] + raw[1][0]))
    inside = slice(window.first, window.stop)
    width = window.stop - window.first
    possible = np.tril(np.triu(np.ones((width, width), bool)), max_tokens - 1)
    flat = np.where(possible, np.outer(start[inside], end[inside]), -1).ravel()
    count = min(top_k, int(possible.sum()))
    best = np.argpartition(-flat, count - 1)[:count]
    found = [(int(k), *divmod(int(k), width)) for k in best[np.argsort(-flat[best], kind="stable")]]
    first = window.first + window.shift
    within = (first, window.stop + window.shift)
    sums = [float(raw[0][window.first + s] + raw[1][window.first + e]) for _, s, e in found]
    return [
        Span(float(flat[k]), total, s + first, e + first, within)
        for (k, s, e), total in zip(found, sums, strict=True)
    ], none


def _softmax(logits: Array, allowed: Array) -> Array:
    masked = np.where(allowed, logits, -np.inf)
    exponents = np.exp(masked - masked.max())
    result: Array = exponents / exponents.sum()
    return result
