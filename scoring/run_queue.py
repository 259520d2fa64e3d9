"""The runs of one graph, shared by all who call it at the same time.

A caller's sequences join the queue in groups of one width. Who finds a free slot runs the group
that has waited longest, with what else waits of its shape, until its own are answered; who finds
none waits until another has run its group, or until a slot is free. So there is no timer and no
dispatcher: an idle engine never waits, a lone caller pays one lock, and nothing starves. Threads of
a pool help a caller that has more groups than slots are taken.

A run that fails is done again group by group, so that its error reaches only its owner.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from onnxferry.scoring import timing
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.tokenization import Tokens


class Shape(NamedTuple):
    """What groups must have in common to share a run: the padded `width` of every sequence, and the
    most `rows` of a run (1: no group shares one)."""

    width: int
    rows: int


Feeds: TypeAlias = Callable[[Sequence[Tokens], int], Mapping[str, Array]]
"""The graph's inputs for sequences that are padded to a width."""


@dataclass(eq=False)
class _Group:
    """Sequences of one caller, and what became of them: `outputs`, a row of each output for every
    sequence, or an `error`. `times`: when its run was taken up, started and done."""

    shape: Shape
    sequences: Sequence[Tokens]
    caller: _Caller
    order: int = 0
    rows: int = 0  # of its run, others' too
    times: tuple[float, float, float] = (0.0, 0.0, 0.0)
    outputs: list[Array] = field(default_factory=list)
    error: Exception | None = None
    done: bool = False

    def result(self) -> list[Array]:
        """Count the caller's time; the outputs, or raise the error."""
        for stage, at in zip(("preprocess", "engine", "queue"), self.times, strict=True):
            timing.switch(stage, at)
        timing.switch("postprocess")
        timing.count(batch=self.rows)
        if self.error:
            raise self.error
        return self.outputs


@dataclass(eq=False)
class _Caller:
    """One who asks: told by `changed` of a group that is done and of a slot that is free."""

    changed: threading.Condition
    waiting: bool = False


@dataclass(eq=False)
class _State:
    """What the callers of one process share."""

    free: int  # slots
    threads: ThreadPoolExecutor
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: dict[Shape, deque[_Group]] = field(default_factory=dict)  # no deque is empty
    count: Iterator[int] = field(default_factory=itertools.count)
    process: int = field(default_factory=os.getpid)


class RunQueue:
    """At most `runner.parallel_runs` runs at a time. Safe to call from several threads at once."""

    def __init__(self, runner: Runner, feeds: Feeds) -> None:
        self._runner, self._feeds = runner, feeds
        self._state = self._new()

    def _new(self) -> _State:
        slots = self._runner.parallel_runs  # the pool's threads start when they are needed
        return _State(slots, ThreadPoolExecutor(slots, "scoring-run"))

    def run_each(
        self, groups: Iterable[tuple[Shape, Sequence[Tokens]]]
    ) -> Generator[list[Array], None, None]:
        """The outputs for each of `groups`, in their order: a row of each output for every
        sequence. Only a few groups are ahead of those that were read."""
        if self._state.process != os.getpid():  # forked: the parent's lock may be taken for ever
            self._state = self._new()
        state = self._state
        caller = _Caller(threading.Condition(state.lock))
        rest = (_Group(shape, sequences, caller) for shape, sequences in groups)
        timing.switch("queue")
        own = deque(itertools.islice(rest, 2 * self._runner.parallel_runs))
        try:
            self._add(state, own)
            while own:
                self._finish(state, own[0])
                yield own.popleft().result()
                timing.switch("queue")
                following = list(itertools.islice(rest, 1))
                own += following
                self._add(state, following)
        finally:
            self._withdraw(state, own)

    def _add(self, state: _State, groups: Iterable[_Group]) -> None:
        with state.lock:
            for group in groups:
                group.order = next(state.count)
                state.waiting.setdefault(group.shape, deque()).append(group)

    def _finish(self, state: _State, group: _Group) -> None:
        """Until `group` is done: run what waits, or wait."""
        caller = group.caller
        while not group.done:
            with state.lock:
                while not (group.done or (state.free and state.waiting)):
                    caller.waiting = True
                    caller.changed.wait()
                caller.waiting = False
                if group.done:
                    return
                taken = self._take(state)
                self._wake(state)
            self._work(state, taken, caller)

    def _take(self, state: _State) -> list[_Group]:
        """A slot, and the group that waits longest with those that may share its run."""
        state.free -= 1
        same = min(state.waiting.values(), key=lambda groups: groups[0].order)
        taken = [same.popleft()]
        shape = taken[0].shape
        room = shape.rows - len(taken[0].sequences)
        while same and len(same[0].sequences) <= room:
            room -= len(same[0].sequences)
            taken.append(same.popleft())
        if not same:
            del state.waiting[shape]
        return taken

    def _work(self, state: _State, taken: Sequence[_Group], caller: _Caller | None = None) -> None:
        """Run what was taken. Whatever interrupts `caller`, others' groups wait again."""
        try:
            self._run(taken)
        finally:
            with state.lock:
                state.free += 1
                for group in reversed(taken):
                    if not group.done and group.caller is not caller:
                        state.waiting.setdefault(group.shape, deque()).appendleft(group)
                self._wake(state)
                for group in taken:
                    group.caller.changed.notify()

    def _wake(self, state: _State) -> None:
        """Somebody for a free slot, if something waits: the caller of the oldest group that does
        nothing, else a thread."""
        if not (state.free and state.waiting):
            return
        heads = sorted(state.waiting.values(), key=lambda groups: groups[0].order)
        callers = (group.caller for groups in heads for group in groups)
        if caller := next((c for c in callers if c.waiting), None):
            caller.waiting = False
            caller.changed.notify()
            return
        state.free -= 1
        try:
            state.threads.submit(self._help, state)
        except RuntimeError:  # no thread can be had, as at the process's end: the callers run them
            state.free += 1

    def _help(self, state: _State) -> None:
        """Run what waits, in the slot that came with the call, and end."""
        with state.lock:
            state.free += 1
        while True:
            with state.lock:
                if not (state.free and state.waiting):
                    return
                taken = self._take(state)
                self._wake(state)
            self._work(state, taken)

    def _withdraw(self, state: _State, own: Iterable[_Group]) -> None:
        """Nothing of a caller that goes stays in the queue."""
        with state.lock:
            for group in own:
                same = state.waiting.get(group.shape, deque())
                with suppress(ValueError):
                    same.remove(group)
                if not same:
                    state.waiting.pop(group.shape, None)
            self._wake(state)

    def _run(self, groups: Sequence[_Group]) -> None:
        try:
            self._run_together(groups)
        except Exception as e:
            if len(groups) > 1:
                for group in groups:
                    self._run([group])
            else:
                groups[0].error, groups[0].done = e, True

    def _run_together(self, groups: Sequence[_Group]) -> None:
        taken = time.perf_counter()
        sequences = [tokens for group in groups for tokens in group.sequences]
        feeds = self._feeds(sequences, groups[0].shape.width)
        started = time.perf_counter()
        outputs = self._runner.run(feeds)
        times = (taken, started, time.perf_counter())
        first = 0
        for group in groups:
            last = first + len(group.sequences)
            group.rows, group.times = len(sequences), times
            group.outputs = [output[first:last] for output in outputs]
            first, group.done = last, True
