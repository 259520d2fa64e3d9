"""Trouble on demand: a call is refused, its connection dropped, or it is the last thing that its
client does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import Enum

from tests.fakes.aws.answers import Answer, Refusal, refuse
from tests.fakes.aws.calls import Call


class Fault(str, Enum):
    THROTTLED = "throttled"
    BROKEN = "500"
    DROPPED_BEFORE = "dropped before it was done"
    DROPPED_AFTER = "dropped after it was done"
    OUTAGE = "500 at every attempt"
    LOST = "dropped at every attempt, after it was done"
    KILLED = "killed after it was done"


class Dropped(Exception):
    """The server closes the connection instead of answering."""


_THROTTLING = {"s3": ("SlowDown", 503), "iam": ("Throttling", 400), "sts": ("Throttling", 400)}
_LASTING = (Fault.OUTAGE, Fault.LOST)


class Faults:
    """`at` maps the number of a call to its fault; `every` meets the first attempt of each call.

    `pid` is the client's process, for KILLED; `met` counts the faults that happened.
    """

    def __init__(self) -> None:
        self.at: dict[int, Fault] = {}
        self.every: Fault | None = None
        self.pid: int | None = None
        self.met = 0
        self._lasting: dict[str, Fault] = {}

    def around(self, call: Call, act: Callable[[Call], Answer]) -> Answer:
        fault = self._fault(call)
        if fault is None:
            return act(call)
        self.met += 1
        if fault is Fault.THROTTLED:
            code, status = _THROTTLING.get(call.service, ("ThrottlingException", 400))
            return refuse(call, Refusal(code, "Rate exceeded", status))
        if fault in (Fault.BROKEN, Fault.OUTAGE):
            return refuse(call, Refusal("InternalFailure", "something broke", 500))
        if fault is not Fault.DROPPED_BEFORE:
            act(call)
        if fault is Fault.KILLED and self.pid:
            os.kill(self.pid, signal.SIGKILL)
        raise Dropped

    def _fault(self, call: Call) -> Fault | None:
        if call.id in self._lasting:
            return self._lasting[call.id]
        fault = self.at.pop(call.number, None) or (self.every if call.attempt == 1 else None)
        if fault in _LASTING and fault:
            self._lasting[call.id] = fault
        return fault
