"""One setting against another, in rounds in which they take turns, and when that is a win.

A busy host slows both alike, so the ratio of a round is what counts. In the last race the default
takes part twice: how far it seems to be from itself is the host's noise, and a gain within that is
none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from onnxferry.scripts.benchmark.rounds import Round, turns

TIE = 0.03  # less is no gain, however sure
FIRST, HALF = 2, 4  # rounds after which a setting that was never faster, or mostly not, is given up
ROUNDS = 7  # of a race in the search
LEAST, MOST = 6, 25  # rounds of the last race, as time allows
CHANCE = 0.02  # by which equals may win so many rounds of it


class Running(Protocol):
    """A model that is loaded with some options."""

    answers: tuple[Any, ...]  # to all that it is asked

    def play(self, number: int) -> Round:
        """Ask everything again; equal numbers ask in the same way."""


Cost: TypeAlias = Callable[[Round], float]


@dataclass(frozen=True)
class Gain:
    """How many times as fast, by round."""

    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """1.1: a tenth faster."""
        return statistics.median(self.ratios)

    @property
    def won(self) -> bool:
        """Whether it is faster by more than TIE, and in so many rounds that it is no chance: by the
        sign test in 6 of 6, or in 19 of 25."""
        rounds = len(self.ratios)
        fewer = sum(math.comb(rounds, lost) for lost in range(self._lost + 1))
        return self.median > 1 + TIE and fewer / 2**rounds <= CHANCE

    @property
    def promising(self) -> bool:
        """Whether it may have won: with a round that it lost. What is taken is proved later."""
        return self.median > 1 + TIE and self._lost <= 1

    @property
    def _lost(self) -> int:
        return sum(ratio <= 1 for ratio in self.ratios)

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({min(self.ratios):.2f} to {max(self.ratios):.2f})"


@dataclass(frozen=True)
class Proof:
    """The last race: `gain` over the defaults, the defaults over themselves, and the rounds of the
    defaults and of the best."""

    gain: Gain
    control: Gain
    default: tuple[Round, ...] = field(repr=False)
    best: tuple[Round, ...] = field(repr=False)

    @property
    def noise(self) -> float:
        """How far the defaults are from themselves: half of the rounds are farther."""
        return statistics.median(abs(ratio - 1) for ratio in self.control.ratios)

    @property
    def won(self) -> bool:
        """Whether the gain is more than noise."""
        return self.gain.won and self.gain.median > 1 + self.noise


def race(champion: Running, challenger: Running, cost: Cost) -> Gain:
    """The challenger's gain. One that is slower at first is given up."""
    challenger.play(0)  # warms up
    ratios: list[float] = []
    for number in range(1, ROUNDS + 1):
        before, after = _costs((champion, challenger), number, cost)
        ratios.append(before / after)
        if number >= HALF and statistics.median(ratios) <= 1:
            break
        if number >= FIRST and max(ratios) <= 1:
            break
    return Gain(tuple(ratios))


def proof(
    defaults: tuple[Running, Running], best: Running, cost: Cost, late: Callable[[], bool]
) -> Proof:
    """The last race, of MOST rounds, or LEAST of them when it is `late`."""
    three, rounds = (*defaults, best), list[tuple[Round, ...]]()
    for running in three:
        running.play(0)  # warms up
    while len(rounds) < LEAST or (len(rounds) < MOST and not late()):
        rounds.append(_rounds(three, len(rounds) + 1))
    costs = [tuple(map(cost, played)) for played in rounds]
    return Proof(
        Gain(tuple((a + b) / 2 / c for a, b, c in costs)),
        Gain(tuple(a / b for a, b, _ in costs)),
        tuple(a for a, _, _ in rounds),
        tuple(c for _, _, c in rounds),
    )


def _costs(several: Sequence[Running], number: int, cost: Cost) -> list[float]:
    return [cost(played) for played in _rounds(several, number)]


def _rounds(several: Sequence[Running], number: int) -> tuple[Round, ...]:
    """One of each, in their order; which plays first changes."""
    order = turns(range(len(several)), number)
    found = {i: several[i].play(number) for i in order}
    return tuple(found[i] for i in range(len(several)))
