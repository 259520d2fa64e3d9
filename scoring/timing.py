"""What one request cost, for its log line: how many items and tokens, and the milliseconds of each
stage.

The scorer opens a Trace for each request; whatever runs on its behalf adds to it without having it
handed down. A trace is a clock with one hand: at each moment it counts for one stage, so that no
time counts twice and the stages' sum is the request's time. It is the request's own thread's: what
other threads do for the request shows as the time that the request waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STAGES = ("decode", "preprocess", "engine", "postprocess", "encode")


class Trace:
    """The figures of one request: how many items, how many tokens went through the model, and
    `seconds` by stage."""

    def __init__(self) -> None:
        self.items = 0
        self.tokens = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._stage, self._since = STAGES[0], time.perf_counter()

    def switch(self, stage: str) -> str:
        """From now on the time counts for `stage`; the stage that it counted for until now."""
        now, before = time.perf_counter(), self._stage
        self.seconds[before] += now - self._since
        self._stage, self._since = stage, now
        return before

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds of each stage until now, to a thousandth."""
        self.switch(self._stage)
        return {stage: round(seconds * 1000, 3) for stage, seconds in self.seconds.items()}


_current: ContextVar[Trace | None] = ContextVar("scoring_trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """A new Trace, to which `count`, `switch` and `stage` add for as long as the block runs."""
    trace = Trace()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def count(*, items: int = 0, tokens: int = 0) -> None:
    """Add to the current request's figures; outside of a request, nothing happens."""
    if trace := _current.get():
        trace.items += items
        trace.tokens += tokens


def switch(name: str) -> None:
    """From now on the current request's time counts for the stage `name`."""
    if trace := _current.get():
        trace.switch(name)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """The block's time counts for the stage `name` of the current request, and afterwards for the
    one before again."""
    trace = _current.get()
    before = trace.switch(name) if trace else ""
    try:
        yield
    finally:
        if trace:
            trace.switch(before)
