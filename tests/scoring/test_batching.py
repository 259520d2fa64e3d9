"""Buckets: every item once, like lengths together, never over the budget."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxferry.scoring.batching import Padding, buckets, pad, width
from onnxferry.scoring.tokenization import Tokens


@given(st.lists(st.integers(1, 600)), st.integers(1, 5000), st.integers(1, 3), st.integers(1, 4))
def test_buckets_hold_every_item_once_within_the_budget(
    lengths: list[int], budget: int, step: int, at_once: int
) -> None:
    groups = buckets(lengths, budget, step, at_once=at_once)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len({width(lengths[i], step) for i in group}) == 1
        assert len(group) == 1 or len(group) * width(lengths[group[0]], step) <= budget
    for shorter, longer in itertools.pairwise(groups):
        assert max(lengths[i] for i in shorter) <= min(lengths[i] for i in longer)


def test_many_of_a_length_are_shared_out_evenly() -> None:
    def sizes(count: int, at_once: int = 1, rows: int | None = None) -> list[int]:
        return [len(group) for group in buckets([10] * count, 512, 2, rows, at_once)]

    assert sizes(51, at_once=2) == [51]
    assert sizes(128) == [42, 43, 43]
    assert sizes(128, at_once=2) == [32] * 4
    assert sizes(5, at_once=2, rows=2) == [1, 2, 2]


def test_padding_is_masked_and_on_the_right() -> None:
    short, long = (Tokens(np.arange(1, n), np.ones(n - 1, np.int64)) for n in (3, 5))
    batch = pad([short, long], Padding(9), wide=5)
    assert batch["input_ids"].tolist() == [[1, 2, 9, 9, 9], [1, 2, 3, 4, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    assert batch["token_type_ids"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 1, 1, 1], [0, 1, 2, 3, 3]]
    assert batch["pooling_mask"].tolist() == batch["attention_mask"].tolist()


def test_a_prompt_is_read_but_not_pooled() -> None:
    batch = pad([Tokens(np.arange(3), np.zeros(3, np.int64), prompt=2)], Padding(9), wide=4)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0]]
    assert batch["pooling_mask"].tolist() == [[0, 0, 1, 0]]
