"""Text to token ids and back: the one place that imports tokenizers. Truncation is done here, with
the same result, since the library's is a state of the tokenizer and each request may ask for
another length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tokenizers

from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import ModelError

Text: TypeAlias = "str | tuple[str, str]"
Range: TypeAlias = tuple[int, int]
CHUNK = 200_000  # characters that are encoded at once
_UNKNOWN = ("[UNK]", "<unk>")  # where the tokenizer's model does not name its own


@dataclass(frozen=True)
class Tokens:
    """One unpadded sequence: `ids` and `type_ids`, both int64 [length]. `prompt`: how many of the
    first tokens a pooling leaves out."""

    ids: Array
    type_ids: Array
    prompt: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Encoded:
    """One text, or two as one sequence, untruncated. `ranges`: the tokens [start, stop) of each
    text, without special ones. `side`: a text's index, 0 or 1. Offsets count code points."""

    tokens: Tokens
    ranges: tuple[Range, ...]
    encoding: Any = None  # tokenizers.Encoding, which is untyped; None without offsets

    def __len__(self) -> int:
        return len(self.tokens)

    def size(self, side: int) -> int:
        """How many tokens text `side` has."""
        start, stop = self.ranges[side]
        return stop - start

    def keep(self, side: int, start: int, stop: int) -> Tokens:
        """The sequence with only the tokens start..stop-1 of text `side`."""
        return self._without([(self.ranges[side][0], start), (stop, self.ranges[side][1])])

    def truncated(self, max_length: int, side: str = "right") -> Tokens:
        """At most `max_length` tokens, without those at `side`. Of two texts the longer is
        shortened first, as by the library's longest_first."""
        excess = len(self) - max_length
        if excess <= 0:
            return self.tokens
        sizes = [stop - start for start, stop in self.ranges]
        space = max(0, sum(sizes) - excess)
        kept = _shares(sizes[0], sizes[1], space) if len(sizes) == 2 else (min(sizes[0], space),)
        cuts = zip(self.ranges, kept, strict=True)
        if side == "left":
            return self._without([(start, stop - n) for (start, stop), n in cuts])
        return self._without([(start + n, stop) for (start, stop), n in cuts])

    def offsets(self) -> list[Range]:
        """The characters [start, end) of every token; (0, 0) for special tokens."""
        found: list[Range] = self.encoding.offsets
        return found

    def word(self, token: int, within: Range) -> Range | None:
        """The characters [start, end) of the word around `token`, within the tokens `within`; None
        where the tokenizer knows no words."""
        number, side = self.encoding.token_to_word(token), self.encoding.token_to_sequence(token)
        tokens = None if number is None else self.encoding.word_to_tokens(number, side)
        if tokens is None:
            return None
        first, last = max(tokens[0], within[0]), min(tokens[1], within[1]) - 1
        return self.characters(first)[0], self.characters(last)[1]

    def characters(self, token: int) -> Range:
        """The characters [start, end) of a token that is not special."""
        found: Range = self.encoding.token_to_chars(token)
        return found

    def _without(self, ranges: Sequence[Range]) -> Tokens:
        mask = np.ones(len(self), bool)
        for start, stop in ranges:
            mask[start:stop] = False
        return Tokens(self.tokens.ids[mask], self.tokens.type_ids[mask])


def _shares(first: int, second: int, space: int) -> tuple[int, int]:
    short = min(first, second)
    long = max(short, space - short)
    if short + long > space:
        short, long = space // 2, space - space // 2
    return (short, long) if first <= second else (long, short)


@dataclass(frozen=True)
class Reading:
    """What a tokenizer's configuration says and tokenizer.json cannot hold. `token_type_ids`: tell
    the two texts of a pair apart, else all are 0. `split_special_tokens`: a special token's
    spelling in a text is text. `truncation_side`: which end of a long text is cut off."""

    token_type_ids: bool = True
    split_special_tokens: bool = False
    truncation_side: str = "right"


class Tokenizer:
    """A tokenizer.json, read once and safe in several threads."""

    def __init__(self, path: Path, reading: Reading = Reading()) -> None:
        """Raises ModelError when the file is absent or not a tokenizer."""
        self.reading = reading
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as e:  # tokenizers raises bare Exception
            hint = "text tasks need the tokenizer.json that transformers' fast tokenizers save"
            raise ModelError(f"{path}: not readable as a tokenizer ({e}); {hint}") from e
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = reading.split_special_tokens

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """Each text, or pair, as one sequence with its special tokens."""
        encode = self._tokenizer.encode_batch_fast
        return [self._encoded(e) for chunk in _chunks(texts) for e in encode(chunk)]

    def encode_with_offsets(self, texts: Sequence[Text]) -> Iterator[Encoded]:
        """As `encode`, one by one, with character offsets, which take longer."""
        for chunk in _chunks(texts):
            for encoding in self._tokenizer.encode_batch(chunk):
                yield replace(self._encoded(encoding), encoding=encoding)

    def _encoded(self, encoding: Any) -> Encoded:
        ids = np.array(encoding.ids, np.int64)
        types = encoding.type_ids if self.reading.token_type_ids else ()
        told = np.array(types, np.int64) if any(types) else np.zeros_like(ids)
        return Encoded(Tokens(ids, told), tuple(_ranges(encoding)))

    def decode(self, ids: Sequence[int], special: bool = True) -> str:
        """The text of `ids`, with or without `special` tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=not special)
        return text

    def join(self, tokens: Sequence[str]) -> str:
        """The text of `tokens`, as the vocabulary spells them."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    def id(self, token: str) -> int | None:
        """The id of a token, None if the vocabulary has no such token."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def token(self, id: int) -> str:
        """The token of an id, "" for one beyond the vocabulary."""
        return self._tokenizer.id_to_token(id) or ""

    @property
    def unknown(self) -> str | None:
        """The token that stands for what is not in the vocabulary."""
        named: str | None = getattr(self._tokenizer.model, "unk_token", None)
        return named or next((token for token in _UNKNOWN if self.id(token) is not None), None)

    @property
    def marks_subwords(self) -> bool:
        """Whether a token's spelling says that it continues a word (WordPiece's ##)."""
        return bool(getattr(self._tokenizer.model, "continuing_subword_prefix", None))


def _chunks(texts: Sequence[Text]) -> Iterator[list[Text]]:
    """Lists of at most CHUNK characters, or of one text, to bound the library's memory."""
    chunk: list[Text] = []
    size = 0
    for text in texts:
        characters = len(text) if isinstance(text, str) else sum(map(len, text))
        if chunk and size + characters > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += characters
    yield chunk


def _ranges(encoding: Any) -> Iterator[Range]:
    sides: list[int | None] = encoding.sequence_ids
    for side in range(encoding.n_sequences):
        start = sides.index(side) if side in sides else len(sides)
        yield start, start + sides.count(side)
