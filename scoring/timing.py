"""What one request cost, for its log line and the host's metrics. What runs on its behalf adds to
its RequestMetrics by a context variable. The time counts for one stage at each moment: the stages'
sum is the request's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

STAGES = ("decode", "preprocess", "queue", "engine", "postprocess", "encode")


class RequestMetrics:
    """One request's items, tokens that went through the model, `batch`: the rows of its largest
    run, other requests' too, and `seconds` by stage, of which "queue" is the wait for a run; the
    stage "fetch" is there once a picture was fetched. `kept`: what stays until it is answered."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.items = 0
        self.tokens = 0
        self.batch = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._stage, self._since = STAGES[0], time.perf_counter()

    def switch(self, stage: str, at: float | None = None) -> str:
        """Count the time for `stage` from now on, or since `at` (time.perf_counter) if that is
        after the last switch; return the stage before."""
        now = time.perf_counter() if at is None else max(at, self._since)
        before = self._stage
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._stage, self._since = stage, now
        return before

    def milliseconds(self) -> dict[str, float]:
        """Milliseconds of each stage until now, to a thousandth."""
        self.switch(self._stage)
        return {stage: round(seconds * 1000, 3) for stage, seconds in self.seconds.items()}


Observer: TypeAlias = Callable[[RequestMetrics, int, str | None], None]
"""What a host gives a Scorer to be told of each finished request: its metrics, the answer's status
and, of a refusal, the error's code. It is called in the request's thread, from several at once; it
must be quick and raise nothing."""

_current: ContextVar[RequestMetrics | None] = ContextVar("scoring_metrics", default=None)


@contextmanager
def measuring() -> Iterator[RequestMetrics]:
    """New metrics, to which `count`, `switch` and `stage` add within the block."""
    metrics = RequestMetrics()
    token = _current.set(metrics)
    try:
        yield metrics
    finally:
        _current.reset(token)


def count(*, items: int = 0, tokens: int = 0, batch: int = 0) -> None:
    """Add to the current request's metrics, if there are any, a run of `batch` rows."""
    if metrics := _current.get():
        metrics.items += items
        metrics.tokens += tokens
        metrics.batch = max(metrics.batch, batch)


def tokens() -> int:
    """Those of the current request until now."""
    metrics = _current.get()
    return metrics.tokens if metrics else 0


def kept() -> dict[str, Any]:
    """RequestMetrics.kept of the current request; a new one where there is none."""
    metrics = _current.get()
    return metrics.kept if metrics else {}


def spent(name: str) -> float:
    """Seconds of the current request in a stage, without the one that it is in now."""
    metrics = _current.get()
    return metrics.seconds.get(name, 0.0) if metrics else 0.0


def switch(name: str, at: float | None = None) -> str:
    """RequestMetrics.switch of the current request, if there is one."""
    metrics = _current.get()
    return metrics.switch(name, at) if metrics else ""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block's time for the stage `name`."""
    before = switch(name)
    try:
        yield
    finally:
        switch(before)
