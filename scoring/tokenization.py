"""Text to token ids: the one place that imports tokenizers. Padding is not done here but where batches are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from scoring.engine import Array
from scoring.errors import InvalidValue, ModelError


@dataclass(frozen=True)
class Tokens:
    """One unpadded sequence: `ids` and `type_ids`, both int64 [length]."""

    ids: Array
    type_ids: Array

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Pair:
    """Two texts encoded as one whole sequence: `first` is the number of the first text's tokens (special ones not
    counted), `second` the [start, stop) range of the second text's.

    The character offsets count Unicode code points in the second text as the caller sent it.
    """

    tokens: Tokens
    first: int
    second: tuple[int, int]
    encoding: Any  # tokenizers.Encoding, which is untyped

    def characters(self, first: int, last: int, words: bool = True) -> tuple[int, int]:
        """The [start, end) characters of the tokens first..last, widened to whole words if `words`."""
        edges = (first, last)
        spans = [self._word(token) if words else None for token in edges]
        start, end = (span or self.encoding.offsets[token] for span, token in zip(spans, edges, strict=True))
        return start[0], end[1]

    def _word(self, token: int) -> tuple[int, int] | None:
        """The characters of the word that `token` is part of; some tokenizers know no words."""
        word = self.encoding.token_to_word(token)
        span: tuple[int, int] | None = None if word is None else self.encoding.word_to_chars(word, 1)
        return span


class Tokenizer:
    """A tokenizer.json, read once; safe to use from several threads, since nothing is changed after that."""

    def __init__(self, path: Path, max_length: int | None = None) -> None:
        """Read `path`. Sequences of `encode` are cut to `max_length` tokens, special tokens included.

        Raises ModelError when the file is absent or not a tokenizer.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as e:  # tokenizers raises bare Exception
            raise ModelError(
                f"{path}: not readable as a tokenizer ({e}); text tasks need the tokenizer.json that "
                "transformers' fast tokenizers save"
            ) from e
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if max_length:
            self._tokenizer.enable_truncation(max_length)

    def encode(self, texts: Sequence[str | tuple[str, str]]) -> list[Tokens]:
        """Token ids of each text, special tokens included. Raises InvalidValue for a text that gives none at all."""
        sequences = [_tokens(e) for e in self._tokenizer.encode_batch_fast(list(texts))]
        if (empty := next((i for i, tokens in enumerate(sequences) if not len(tokens)), None)) is not None:
            raise InvalidValue(f"text {empty} of the request holds no character that the model's tokenizer knows")
        return sequences

    def encode_pair(self, first: str, second: str) -> Pair:
        """Token ids of `first` and `second` as one sequence, with the second's offsets."""
        encoding = self._tokenizer.encode(first, second)
        sides = encoding.sequence_ids
        own = [i for i, side in enumerate(sides) if side == 1] or [len(sides), len(sides) - 1]
        return Pair(_tokens(encoding), sides.count(0), (own[0], own[-1] + 1), encoding)


def _tokens(encoding: Any) -> Tokens:
    return Tokens(np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64))
