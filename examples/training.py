"""What the training scripts beside the adapters share: batches of like length, and padding."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch


def batches(lengths: Sequence[int], size: int, rng: random.Random) -> list[list[int]]:
    """The indices of `lengths` in batches of like length and random order: little padding, and a
    new mix each epoch."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    out = []
    for i in range(0, len(order), size * 25):
        chunk = sorted(order[i : i + size * 25], key=lambda k: lengths[k])
        out += [chunk[j : j + size] for j in range(0, len(chunk), size)]
    rng.shuffle(out)
    return out


def pad(sequences: Sequence[Sequence[int]], fill: int = 0) -> torch.Tensor:
    """int64 [rows, longest], filled up on the right."""
    width = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[fill] * (width - len(sequence))] for sequence in sequences])
