"""Batches of like length: padding costs as much as text, so sequences are sorted and packed under a
token budget.

An answer does not depend on what else is in a request: a sequence's padded width follows from its
own length, and ONNX Runtime's float kernels add up a row's products in the same order for any
number of rows (tests/scoring/test_determinism.py). A graph that quantises its activations as it
runs takes their scale from the whole batch: there each sequence runs alone and unpadded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from onnxferry.scoring import timing
from onnxferry.scoring.engine import Array, Runner, expect_inputs
from onnxferry.scoring.tokenization import Tokens

T = TypeVar("T")
TOKEN_BUDGET = 512  # rows x width of one run; more is no faster and takes more memory
STEP = 2  # the widths of batches are multiples of it
INPUTS = frozenset(
    {"input_ids", "attention_mask", "token_type_ids", "position_ids", "pooling_mask"}
)


@dataclass(frozen=True)
class Padding:
    """The ids that fill the shorter sequences of a run, on the right. `id` None: nothing does, and
    only sequences of one length share a run: for a graph that reads the last position, or a model
    without a padding token."""

    id: int | None
    type_id: int = 0

    @property
    def step(self) -> int:
        """The widths of batches are multiples of it."""
        return 1 if self.id is None else STEP


def width(length: int, step: int = STEP) -> int:
    """`length`, rounded up to a multiple of `step`."""
    return -(-length // step) * step


def buckets(
    lengths: Sequence[int], budget: int = TOKEN_BUDGET, step: int = STEP
) -> list[list[int]]:
    """The indices of `lengths` in groups of one `width`, shortest first, within `budget`."""
    groups: list[list[int]] = []
    current = -1  # the width of the last group
    for i in sorted(range(len(lengths)), key=lambda k: lengths[k]):
        if width(lengths[i], step) == current and (len(groups[-1]) + 1) * current <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
            current = width(lengths[i], step)
    return groups


def pad(batch: Sequence[Tokens], padding: Padding, wide: int) -> dict[str, Array]:
    """INPUTS, each int64 [rows, wide], padded on the right. Positions count from 0."""
    shape = (len(batch), wide)
    ids, types = np.full(shape, padding.id or 0), np.full(shape, padding.type_id)
    mask, pooled = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, tokens in enumerate(batch):
        filled = slice(len(tokens))
        ids[row, filled], types[row, filled], mask[row, filled] = tokens.ids, tokens.type_ids, 1
        pooled[row, tokens.prompt : len(tokens)] = 1
    named = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return {
        **named,
        "position_ids": np.tile(np.arange(wide), (len(batch), 1)),
        "pooling_mask": pooled,
    }


class TokenBatcher:
    """Runs a graph that takes token ids, padded to at most `max_length`."""

    def __init__(self, runner: Runner, padding: Padding, max_length: int | None = None) -> None:
        """Raises ModelError if the graph needs other inputs than INPUTS."""
        expect_inputs(runner, INPUTS)
        self._runner, self._padding, self._max_length = runner, padding, max_length

    def run(
        self,
        sequences: Sequence[Tokens],
        read: Callable[[list[Array], Tokens], T],
        budget: int = TOKEN_BUDGET,
    ) -> list[T]:
        """What `read` makes of each sequence and its row, with padding, of every output, in order.
        `budget` bounds rows x width of one run."""
        timing.count(tokens=sum(map(len, sequences)))
        groups = self._groups([len(tokens) for tokens in sequences], budget)
        results: dict[int, T] = {}
        batches = self._runner.run_each(self._feeds(sequences, groups))
        for group, outputs in zip(groups, batches, strict=True):
            for row, i in enumerate(group):
                results[i] = read([output[row] for output in outputs], sequences[i])
        return [results[i] for i in range(len(sequences))]

    def _groups(self, lengths: Sequence[int], budget: int) -> list[list[int]]:
        """Longest first, so that the last parallel runs are short."""
        if self._runner.batch_dependent:
            return [[i] for i in sorted(range(len(lengths)), key=lambda k: -lengths[k])]
        return buckets(lengths, budget, self._padding.step)[::-1]

    def _feeds(
        self, sequences: Sequence[Tokens], groups: Sequence[Sequence[int]]
    ) -> Iterator[dict[str, Array]]:
        for group in groups:
            with timing.stage("preprocess"):
                longest = max(len(sequences[i]) for i in group)
                wide = longest if self._runner.batch_dependent else self._width(longest)
                feeds = pad([sequences[i] for i in group], self._padding, wide)
            yield feeds

    def _width(self, length: int) -> int:
        wide = width(length, self._padding.step)
        return max(length, min(wide, self._max_length or wide))
