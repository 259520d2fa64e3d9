"""Trouble on demand: a call is refused, answered late, its connection dropped, or it is the last
thing that its client does; the sign-in expires, or the client's clock is wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum

from tests.fakes.aws.answers import Answer, Refusal, refuse
from tests.fakes.aws.calls import QUERY, Call


class Fault(str, Enum):
    THROTTLED = "throttled"
    BROKEN = "500"
    DROPPED_BEFORE = "dropped before it was done"
    DROPPED_AFTER = "dropped after it was done"
    OUTAGE = "500 at every attempt"
    LOST = "dropped at every attempt, after it was done"
    KILLED = "killed after it was done"
    SLOW = "answered after 30 s"
    EXPIRED = "refused, and all later ones, since the sign-in has expired"


class Dropped(Exception):
    """The server closes the connection instead of answering."""


_THROTTLING = {"s3": ("SlowDown", 503), "iam": ("Throttling", 400), "sts": ("Throttling", 400)}
_SLOW_SECONDS = 30.0
_MOST_SKEW = 15 * 60
_LASTING = (Fault.OUTAGE, Fault.LOST)


class Faults:
    """`at` maps the number of a call to its fault; `every` meets the first attempt of each call.

    `pid` is the client's process, for KILLED; `met` counts the faults that happened. `pass_time`
    tells the client's clock of SLOW answers, for which nobody waits here. `skew` is how many
    seconds AWS is ahead of the client. `signed_in` ends with EXPIRED.
    """

    def __init__(self) -> None:
        self.at: dict[int, Fault] = {}
        self.every: Fault | None = None
        self.pid: int | None = None
        self.met = 0
        self.pass_time: Callable[[float], None] = lambda seconds: None
        self.skew = 0.0
        self.signed_in = True
        self._lasting: dict[str, Fault] = {}

    def now(self) -> float:
        """The time by AWS's clock, in seconds since 1970."""
        return time.time() + self.skew

    def around(self, call: Call, act: Callable[[Call], Answer]) -> Answer:
        fault = self._fault(call)
        self.signed_in = self.signed_in and fault is not Fault.EXPIRED
        self.met += fault is not None
        if self._untimely(call) or not self.signed_in:
            return refuse(call, self._untimely(call) or _expired(call))
        if fault is Fault.SLOW:
            self.pass_time(_SLOW_SECONDS)
        if fault in (None, Fault.SLOW):
            return act(call)
        return self._troubled(fault, call, act)

    def _troubled(self, fault: Fault | None, call: Call, act: Callable[[Call], Answer]) -> Answer:
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

    def _untimely(self, call: Call) -> Refusal | None:
        """AWS takes no request that was signed more than 15 minutes from now."""
        signed = call.headers.get("x-amz-date", "")
        if not signed:
            return None
        then = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if abs(then.timestamp() - self.now()) <= _MOST_SKEW:
            return None
        if call.service == "s3":
            said = "The difference between the request time and the current time is too large."
            return Refusal("RequestTimeTooSkewed", said, 403)
        late = "Signature expired" if self.skew > 0 else "Signature not yet current"
        code = "SignatureDoesNotMatch" if call.service in QUERY else "InvalidSignatureException"
        return Refusal(code, f"{late}: {signed} is not within 15 min. of now", 403)

    def _fault(self, call: Call) -> Fault | None:
        if call.id in self._lasting:
            return self._lasting[call.id]
        fault = self.at.pop(call.number, None) or (self.every if call.attempt == 1 else None)
        if fault in _LASTING and fault:
            self._lasting[call.id] = fault
        return fault


def _expired(call: Call) -> Refusal:
    said = "The security token included in the request is expired"
    if call.service == "s3":
        return Refusal("ExpiredToken", "The provided token has expired.", 400)
    code = "ExpiredToken" if call.service in QUERY else "ExpiredTokenException"
    return Refusal(code, said, 403 if call.service in QUERY else 400)
