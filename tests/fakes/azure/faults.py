"""Trouble on demand: the call of a given number is refused, dropped, or the last thing that its
client does."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import Enum

from tests.fakes.azure.http import Answer, Call, error


class Fault(str, Enum):
    THROTTLED = "429"
    BROKEN = "500"
    DROPPED_BEFORE = "dropped before it was done"
    DROPPED_AFTER = "dropped after it was done"
    KILLED = "killed after it was done"


class Dropped(Exception):
    """The server closes the connection instead of answering."""


class Faults:
    """`at` maps the number of a call to its fault; each happens once. `every` happens to every
    call, but not to its repetition: at the first, third ... call of one method and path. `pid` is
    the client's process, for KILLED."""

    def __init__(self) -> None:
        self.at: dict[int, Fault] = {}
        self.every: Fault | None = None
        self._times: Counter[str] = Counter()
        self.pid: int | None = None
        self.deaths: set[int] = set()  # calls that are their client's last, without sockets

    def around(self, call: Call, answer: Callable[[Call], Answer]) -> Answer:
        fault = self.at.pop(call.number, None)
        if self.every:
            self._times[str(call)] += 1
            fault = self.every if self._times[str(call)] % 2 else None
        # blob storage has its own word for it
        if fault is Fault.THROTTLED and ".blob." in call.host:
            return error(503, "ServerBusy", "The server is busy.")
        if fault is Fault.THROTTLED:
            throttled = error(429, "TooManyRequests", "the rate limit is reached")
            return Answer(429, throttled.body, {**throttled.headers, "retry-after-ms": "5"})
        if fault is Fault.BROKEN:
            return error(500, "InternalServerError", "something broke")
        if fault is Fault.DROPPED_BEFORE:
            raise Dropped
        answered = answer(call)
        if fault is Fault.KILLED and self.pid:
            os.kill(self.pid, signal.SIGKILL)
        if fault in (Fault.DROPPED_AFTER, Fault.KILLED):
            raise Dropped
        return answered
