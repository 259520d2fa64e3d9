"""The search: each alternative races against the best so far, and the best of all against the
defaults once more, in new processes, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare.tuning import race as races
from onnxferry.scripts.prepare.tuning import space
from onnxferry.scripts.prepare.tuning.race import Cost, Gain, Proof, Running
from onnxferry.scripts.prepare.tuning.space import Changes, differences, told
from onnxferry.system.console import Progress
from onnxferry.system.errors import BenchmarkError

BUDGET = 110.0  # seconds, of which the last race has its share: in all under two minutes
Start: TypeAlias = Callable[[EngineOptions], AbstractContextManager[Running]]
Differ: TypeAlias = Callable[[Any, Any], str | None]
"""How answers differ from others, in words; None if they do not."""


@dataclass(frozen=True)
class Trial:
    """An alternative: what it changes of the defaults, its gain over the best so far, or why it has
    none."""

    changes: Changes
    gain: Gain | None = None
    taken: bool = False
    why: str = ""


@dataclass(frozen=True)
class Outcome:
    """`changes` of the defaults that are a win; {}: nothing better was found. `proof`: the last
    race, where there was one. `left_out`: what the time did not suffice for."""

    changes: Changes
    trials: tuple[Trial, ...]
    left_out: tuple[Changes, ...]
    proof: Proof | None
    seconds: float


@dataclass(frozen=True)
class Contest:
    """How settings are measured: what starts the model with some, what a round costs, and what says
    that answers differ."""

    start: Start
    cost: Cost
    differ: Differ
    clock: Callable[[], float] = time.monotonic


@dataclass
class Search:
    """Search `default` and what is near to it."""

    contest: Contest
    default: EngineOptions
    progress: Progress
    budget: float = BUDGET
    _trials: list[Trial] = field(default_factory=list)

    def run(self, alternatives: Sequence[Changes]) -> Outcome:
        """Raises BenchmarkError where the defaults cannot be measured."""
        self._began, waiting = self.contest.clock(), list(alternatives)
        return self._outcome(self._best(waiting), waiting)

    def _best(self, waiting: list[Changes]) -> EngineOptions:
        """The winner of all races; `waiting` keeps what the time did not suffice for."""
        best, holding = self.default, ExitStack()  # of its process
        try:
            running = self._first(holding)
            for changes in self._in_time(waiting):
                options = replace(best, **changes)
                with ExitStack() as own:
                    alike = space.alike(options, best)
                    if not alike and (found := self._faster(options, running, own)):
                        holding.close()
                        best, running, holding = options, found, own.pop_all()
        finally:
            holding.close()
        return best

    def _first(self, stack: ExitStack) -> Running:
        """The model with the defaults, by which the time of all else is told."""
        running = self._started(self.default, stack)
        self._load = self._spent()
        running.play(0)
        self._play = self._spent() - self._load
        self._trial = self._load + (1 + 2 * races.ROUNDS) * self._play
        return running

    def _in_time(self, waiting: list[Changes]) -> Iterator[Changes]:
        """Those that the time suffices for; others stay in `waiting`."""
        count = len(waiting)
        while waiting and self._left() > self._trial + self._last():
            self.progress(f"{count - len(waiting) + 1} of {count}: {told(waiting[0])}")
            began = self._spent()
            yield waiting.pop(0)
            self._trial = max(self._trial, self._spent() - began)

    def _last(self) -> float:
        """The seconds that the last race takes at least."""
        return 3 * self._load + 3 * (1 + races.LEAST) * self._play

    def _spent(self) -> float:
        return self.contest.clock() - self._began

    def _left(self) -> float:
        return self.budget - self._spent()

    def _started(self, options: EngineOptions, stack: ExitStack) -> Running:
        return stack.enter_context(self.contest.start(options))

    def _faster(self, options: EngineOptions, best: Running, stack: ExitStack) -> Running | None:
        """The model with `options`, if it is a win over the best so far."""
        changes = differences(options, self.default)
        try:
            running = self._started(options, stack)
            if why := self.contest.differ(best.answers, running.answers):
                self._trials.append(Trial(changes, why=f"it answers otherwise: {why}"))
                return None
            gain = races.race(best, running, self.contest.cost)
        except BenchmarkError as e:
            self._trials.append(Trial(changes, why=str(e).partition("\n")[0]))
            return None
        self._trials.append(Trial(changes, gain, gain.promising))
        return running if gain.promising else None

    def _outcome(self, best: EngineOptions, left_out: Sequence[Changes]) -> Outcome:
        changes, proof = differences(best, self.default), None
        if changes:
            self.progress(f"the defaults against {told(changes)}")
            proof = self._proved(best)
        won = changes if proof and proof.won else {}
        return Outcome(won, tuple(self._trials), tuple(left_out), proof, self._spent())

    def _proved(self, best: EngineOptions) -> Proof:
        with ExitStack() as stack:
            a, b, c = (self._started(o, stack) for o in (self.default, self.default, best))
            return races.proof((a, b), c, self.contest.cost, lambda: self._left() <= self._play * 3)
