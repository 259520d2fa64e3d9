"""What one request cost, for its log line: how many items and tokens, and the milliseconds of each stage.

The scorer opens a Trace for each request; whatever runs on its behalf adds to it without having it handed down. Threads
that a request starts see it where they run in a copy of its context (contextvars.copy_context).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

STAGES = ("decode", "preprocess", "engine", "postprocess", "encode")


@dataclass
class Trace:
    """The figures of one request. Adding is safe from several threads."""

    items: int = 0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, *, items: int = 0, tokens: int = 0) -> None:
        with self._lock:
            self.items += items
            self.tokens += tokens

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] += seconds

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds of each stage, to a thousandth."""
        return {stage: round(seconds * 1000, 3) for stage, seconds in self.seconds.items()}


_current: ContextVar[Trace | None] = ContextVar("scoring_trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """A new Trace, to which `count` and `stage` add for as long as the block runs."""
    trace = Trace()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def count(*, items: int = 0, tokens: int = 0) -> None:
    """Add to the current request's figures; outside of a request, nothing happens."""
    if trace := _current.get():
        trace.count(items=items, tokens=tokens)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the block's wall time to stage `name` of the current request. Stages do not nest: the time of an inner one
    would count twice."""
    began = time.perf_counter()
    try:
        yield
    finally:
        if trace := _current.get():
            trace.add(name, time.perf_counter() - began)
