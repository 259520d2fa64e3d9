"""When requests arrive, and who has the first turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar("T")


def arrivals(rate: float, count: int, seed: int) -> list[float]:
    """Seconds from the round's start at which each of `count` requests arrives: a Poisson process
    of `rate` a second, an open loop that does not depend on how fast anything answers."""
    random = Random(seed)  # noqa: S311
    return list(accumulate(random.expovariate(rate) for _ in range(count)))


def turns(engines: Sequence[T], number: int) -> list[T]:
    """The order in a round: each is first in turn, so that none always finds the machine warm."""
    first = number % len(engines)
    return [*engines[first:], *engines[:first]]
