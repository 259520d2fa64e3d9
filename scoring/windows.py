"""A text that is longer than the model, as overlapping windows that the model reads one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.tokenization import Encoded, Tokens


@dataclass(frozen=True)
class Window:
    """One sequence for the model. Its tokens [first, stop) are of the long text; token i is token
    i + shift of the whole sequence."""

    tokens: Tokens
    first: int
    stop: int
    shift: int

    @property
    def tokens_of_text(self) -> range:
        """The text's tokens in the whole sequence."""
        return range(self.first + self.shift, self.stop + self.shift)


def capacity(encoded: Encoded, side: int, max_length: int) -> int:
    """How many tokens of text `side` fit in a window beside all others."""
    return max_length - (len(encoded) - encoded.size(side))


def truncated(encoded: Encoded, side: int, max_length: int, truncation_side: str) -> Window:
    """The one sequence that is left of a text that is cut off at `truncation_side`."""
    (first, stop), space = encoded.ranges[side], max(capacity(encoded, side, max_length), 0)
    start = max(first, stop - space) if truncation_side == "left" else first
    end = min(start + space, stop)
    return Window(encoded.keep(side, start, end), first, first + end - start, start - first)


def check_stride(encoded: Encoded, side: int, max_length: int, stride: tuple[str, int]) -> None:
    """Raise InvalidValue when windows cannot share `stride`: the parameter's name, tokens."""
    (name, tokens), space = stride, capacity(encoded, side, max_length)
    if encoded.size(side) > space and tokens >= space:
        most = f"for this text it must be below {max(space, 0)} tokens"
        raise InvalidValue(f"'parameters.{name}' is {tokens}; {most}")


def default_stride(encoded: Encoded, side: int, max_length: int, stride: int) -> int:
    """`stride` that nobody asked for or, where windows cannot share so much, half of what fits."""
    space = capacity(encoded, side, max_length)
    return stride if stride < space else max(space, 0) // 2


def count_windows(encoded: Encoded, side: int, max_length: int, stride: int) -> int:
    """How many windows `windows` gives."""
    size, space = encoded.size(side), capacity(encoded, side, max_length)
    return 1 if size <= space else 1 - (space - size) // (space - stride)


def windows(encoded: Encoded, side: int, max_length: int, stride: int) -> Iterator[Window]:
    """Sequences of at most `max_length` tokens, each with a part of text `side` and all else. A
    part begins with the last `stride` tokens of the one before."""
    first, stop = encoded.ranges[side]
    space = capacity(encoded, side, max_length)
    for start in range(first, stop, max(space - stride, 1)):
        end = min(start + space, stop)
        yield Window(encoded.keep(side, start, end), first, first + end - start, start - first)
        if end == stop:
            return
