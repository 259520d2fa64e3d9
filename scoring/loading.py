"""What a start costs, by phase: one line on the logger "scoring", at INFO, when a model is loaded,
so that each host's log tells what a cold start waited for."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOADED = "loaded"  # the line's "event"
PHASES = ("imports", "session", "task")
"""The keys of the line's "ms": what scoring imports, numpy and ONNX Runtime with it; the graph,
read and made ready; the task's own library, tokenizer and labels."""

_log = logging.getLogger("scoring")


class Clock:
    """Seconds by phase, of which none is told before it has been measured."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, phase: str) -> None:
        """`phase` ends now; it began with the clock or where the one before ended."""
        now = time.perf_counter()
        self.seconds[phase] = now - self._began
        self._began = now


IMPORTS = Clock()  # begins with the first import of scoring; __init__.py ends it


@contextmanager
def told(model: str, task: str) -> Iterator[Clock]:
    """A clock for the block, in which a model is loaded, and the line when that has gone well."""
    clock = Clock()
    yield clock
    phases = {**IMPORTS.seconds, **clock.seconds}
    ms = {name: round(phases[name] * 1000, 1) for name in PHASES if name in phases}
    line = {"event": LOADED, "model": model, "task": task, "ms": ms}
    _log.info("%s", json.dumps(line))
