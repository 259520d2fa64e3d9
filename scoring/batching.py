"""Batches of like length: padding costs as much as text, so sequences are sorted and packed under a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from scoring.engine import Array, Session
from scoring.tokenization import Tokens

T = TypeVar("T")
TOKEN_BUDGET = 4096  # rows x width of one run; bounds the memory of a run whatever the request holds


def buckets(lengths: Sequence[int], budget: int = TOKEN_BUDGET) -> list[list[int]]:
    """The indices of `lengths` in groups of like length: size x longest <= `budget`, or one item."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda k: lengths[k]):
        if groups and (len(groups[-1]) + 1) * lengths[i] <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def pad(batch: Sequence[Tokens], pad_id: int, pad_type_id: int) -> dict[str, Array]:
    """input_ids, attention_mask and token_type_ids of a batch, each int64 [rows, longest], padded on the right."""
    shape = (len(batch), max(len(t) for t in batch))
    ids, mask, types = np.full(shape, pad_id), np.zeros(shape, np.int64), np.full(shape, pad_type_id)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)], types[row, : len(tokens)], mask[row, : len(tokens)] = tokens.ids, tokens.type_ids, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class TextModel:
    """A graph that takes token ids, with the padding that its tokenizer prescribes."""

    INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})

    def __init__(self, session: Session, pad_id: int, pad_type_id: int) -> None:
        session.expect_inputs(set(self.INPUTS))
        self._session, self._pad = session, (pad_id, pad_type_id)

    def run(self, sequences: Sequence[Tokens], read: Callable[[list[Array], Tokens], T]) -> list[T]:
        """What `read` makes of each sequence and its row of every output of the graph, in the order of `sequences`.

        Rows of token outputs still carry their padding. What `read` does not keep is freed with its batch.
        """
        results: dict[int, T] = {}
        for group in buckets([len(t) for t in sequences]):
            outputs = self._session.run(pad([sequences[i] for i in group], *self._pad))
            results |= {i: read([output[row] for output in outputs], sequences[i]) for row, i in enumerate(group)}
        return [results[i] for i in range(len(sequences))]
