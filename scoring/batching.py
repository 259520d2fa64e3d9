"""Batches of like length: padding costs as much as text, so sequences are sorted and packed under a
token budget.

An answer does not depend on what else is in a request: a sequence's padded width follows from its
own length, and ONNX Runtime's float kernels add up a row's products in the same order for any
number of rows (tests/scoring/test_determinism.py). A graph that quantises its activations as it
runs takes their scale from the whole batch: there each sequence runs alone and unpadded.

A graph that fixes its sizes gets them: sequences padded to its length, rows filled up with copies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from onnxferry.scoring import timing
from onnxferry.scoring.engine import Array, Runner, repeated
from onnxferry.scoring.errors import InvalidValue, ModelError
from onnxferry.scoring.graph_inputs import ALIASES, TokenInputs, listed
from onnxferry.scoring.run_queue import RunQueue, Shape
from onnxferry.scoring.settings import MIN_LENGTH
from onnxferry.scoring.tokenization import Tokens

T = TypeVar("T")
TOKEN_BUDGET = 512  # rows x width of one run; more is no faster and takes more memory
STEP = 2  # the widths of batches are multiples of it
_BEYOND = re.compile(r"idx=(\d+) must be within the inclusive range \[-\d+,(\d+)\]")


@dataclass(frozen=True)
class Padding:
    """What fills the shorter sequences of a run: an id (None: the model has none), a type id, and
    on which side."""

    id: int | None
    type_id: int = 0
    side: str = "right"

    @property
    def hidden(self) -> bool:
        """Whether an attention mask makes an answer the same with it as without. Else only
        sequences of one length share a run: a graph may read the last position."""
        return self.id is not None and self.side == "right"


def width(length: int, step: int = STEP) -> int:
    """`length`, rounded up to a multiple of `step`."""
    return -(-length // step) * step


def buckets(
    lengths: Sequence[int],
    budget: int = TOKEN_BUDGET,
    step: int = STEP,
    rows: int | None = None,
    at_once: int = 1,
) -> list[list[int]]:
    """The indices of `lengths` in groups of one `width`, shortest first, within `budget`, or of at
    most `rows`. Where one width needs several groups they are alike, and as many as go `at_once`
    into runs: of 128 short texts 4 runs of 32 keep two CPUs busy to the end, 51 + 51 + 26 do not.
    """
    same: dict[int, list[int]] = {}
    for i in sorted(range(len(lengths)), key=lambda k: lengths[k]):
        same.setdefault(width(lengths[i], step), []).append(i)
    groups: list[list[int]] = []
    for wide, indices in same.items():
        count = -(-len(indices) // (rows or max(1, budget // wide)))
        if count > 1 and not rows:
            count = min(width(count, at_once), len(indices))
        ends = [len(indices) * k // count for k in range(count + 1)]
        groups += [indices[a:b] for a, b in pairwise(ends)]
    return groups


def pad(
    batch: Sequence[Tokens], padding: Padding, wide: int, needed: Container[str] = ALIASES
) -> dict[str, Array]:
    """The inputs of graph_inputs.ALIASES, each int64 [rows, wide]; those that take work of their
    own only if `needed`."""
    shape = (len(batch), wide)
    ids, types = np.full(shape, padding.id or 0), np.full(shape, padding.type_id)
    mask = np.zeros(shape, np.int64)
    left = padding.side == "left"
    for row, tokens in enumerate(batch):
        filled = slice(wide - len(tokens), wide) if left else slice(len(tokens))
        ids[row, filled], types[row, filled], mask[row, filled] = tokens.ids, tokens.type_ids, 1
    made: dict[str, Array] = {"input_ids": ids, "attention_mask": mask}
    made["token_type_ids"] = types
    if "position_ids" in needed:  # counted from a row's first token
        made["position_ids"] = np.maximum(mask.cumsum(axis=1) - 1, 0)
    if "pooling_mask" in needed:  # leaves prompts out
        firsts = mask.argmax(axis=1) + [tokens.prompt for tokens in batch]
        made["pooling_mask"] = np.where(np.arange(wide) < firsts[:, None], 0, mask)
    return made


class TokenBatcher:
    """Runs a graph that takes token ids, padded to at most `max_length`, which is the graph's own
    length where that is fixed and less."""

    def __init__(self, runner: Runner, padding: Padding, max_length: int | None = None) -> None:
        """Raises ModelError if the graph needs inputs that no text gives, or is too short."""
        self._runner, self._inputs = runner, TokenInputs.of(runner)
        self._padding, self._left = padding, padding.side == "left"
        fixed = self._inputs.length
        if fixed is not None and fixed < MIN_LENGTH:
            needed = f"a text needs at least {MIN_LENGTH} tokens"
            raise ModelError(f"model.onnx takes {listed(runner.inputs)}; {needed}")
        self.max_length = min(filter(None, (max_length, fixed)), default=None)
        hidden = padding.hidden and "attention_mask" in self._inputs.names
        self._step = STEP if hidden and self._inputs.rows != 1 else 1
        self._queue = RunQueue(runner, self._feeds)

    def run(
        self,
        sequences: Sequence[Tokens],
        read: Callable[[list[Array], Tokens], T],
        budget: int = TOKEN_BUDGET,
    ) -> list[T]:
        """What `read` makes of each sequence and its row of every output, in order. A row begins
        with the sequence's first token and may end with padding. `budget` bounds rows x width of
        one run. Raises InvalidValue for a token that the graph does not know."""
        timing.count(tokens=sum(map(len, sequences)))
        groups = self._groups([len(tokens) for tokens in sequences], budget)
        batches = [[sequences[i] for i in group] for group in groups]
        results: dict[int, T] = {}
        try:
            with closing(self._queue.run_each(self._shaped(batches, budget))) as answered:
                for group, outputs in zip(groups, answered, strict=True):
                    for row, i in enumerate(group):
                        found = [output[row] for output in outputs]
                        if self._left:
                            found = self._without_padding(found, len(sequences[i]))
                        results[i] = read(found, sequences[i])
        except Exception as e:  # onnxruntime's errors have no common base class
            if type(e).__module__.startswith("onnxruntime"):
                _check_tokens(str(e), sequences, e)
            raise
        return [results[i] for i in range(len(sequences))]

    def _groups(self, lengths: Sequence[int], budget: int) -> list[list[int]]:
        """Longest first, so that the last parallel runs are short."""
        if self._runner.batch_dependent:
            return [[i] for i in sorted(range(len(lengths)), key=lambda k: -lengths[k])]
        fixed, rows = self._inputs.length, self._inputs.rows
        sizes = [fixed] * len(lengths) if fixed else lengths
        return buckets(sizes, budget, self._step, rows, self._runner.parallel_runs)[::-1]

    def _shaped(
        self, batches: Iterable[list[Tokens]], budget: int
    ) -> Iterator[tuple[Shape, list[Tokens]]]:
        """Each batch with what others must have to share its run."""
        for batch in batches:
            wide = self._width(max(map(len, batch)))
            rows = self._inputs.rows or max(1, budget // wide)
            alone = self._runner.batch_dependent or not self._runner.shared_runs
            yield Shape(wide, 1 if alone else rows), batch

    def _feeds(self, batch: Sequence[Tokens], wide: int) -> dict[str, Array]:
        """By the graph's own names, with as many rows as it takes."""
        names, rows = self._inputs.names, self._inputs.rows
        made = pad(batch, self._padding, wide, names)
        feeds = {name: made[role] for role, name in names.items()}
        return feeds if rows is None else repeated(feeds, rows)

    def _width(self, length: int) -> int:
        if self._inputs.length is not None:
            return self._inputs.length
        if self._runner.batch_dependent:
            return length
        wide = width(length, self._step)
        return max(length, min(wide, self.max_length or wide))

    def _without_padding(self, row: list[Array], length: int) -> list[Array]:
        """A row of every output that begins with the first of so many tokens."""
        before = (self._inputs.length or length) - length
        named = zip(self._runner.outputs, row, strict=True)
        return [array[before:] if _of_tokens(t.name, array) else array for t, array in named]


def _of_tokens(name: str, row: Array) -> bool:
    """Whether a row of an output holds something for every token."""
    return row.ndim > 1 or name in ("start_logits", "end_logits")


def _check_tokens(message: str, sequences: Sequence[Tokens], cause: Exception) -> None:
    """Raise InvalidValue if it is a token of `sequences` that ONNX Runtime did not find."""
    if not (found := _BEYOND.search(message)):
        return
    token, last = map(int, found.groups())
    if any(token in tokens.ids for tokens in sequences):
        has = f"the model has embeddings for {last + 1} tokens"
        what = f"a text holds the token with id {token}, and {has}"
        raise InvalidValue(f"{what}: its tokenizer has more tokens than the model") from cause
