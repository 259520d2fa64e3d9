"""Trouble on demand: the call of a given number is refused, dropped, or the last thing that its
client does."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import Enum

from tests.fakes.azure.clock import ServerClock
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.login import TENANT, signed_in


class Fault(str, Enum):
    THROTTLED = "429"
    BROKEN = "500"
    DROPPED_BEFORE = "dropped before it was done"
    DROPPED_AFTER = "dropped after it was done"
    KILLED = "killed after it was done"
    SLOW = "answered after 30 s"
    LATE = "done, and answered when its client waits no longer"
    EXPIRED = "its token has expired"


class Dropped(Exception):
    """The server closes the connection instead of answering, after `seconds`."""

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.seconds = seconds


class Faults:
    """`at` maps the number of a call to its fault; each happens once. `every` happens to every
    call, but not to its repetition: at the first, third ... call of one method and path. `pid` is
    the client's process, for KILLED. SLOW puts `clock` on by 30 s; whoever also waits by it sees
    them pass. LATE takes `late` seconds, more than its client's patience. What a token that is
    EXPIRED asks is refused from then on."""

    def __init__(self, clock: ServerClock | None = None) -> None:
        self.at: dict[int, Fault] = {}
        self.every: Fault | None = None
        self.clock = clock or ServerClock()
        self.late = 0.5
        self.expired: set[str] = set()
        self._times: Counter[str] = Counter()
        self.pid: int | None = None
        self.deaths: set[int] = set()  # calls that are their client's last, without sockets

    def around(self, call: Call, answer: Callable[[Call], Answer]) -> Answer:
        fault = self.at.pop(call.number, None)
        if self.every:
            self._times[str(call)] += 1
            fault = self.every if self._times[str(call)] % 2 else None
        token = call.headers.get("authorization", "")
        if fault is Fault.EXPIRED and signed_in(call):
            self.expired.add(token)
        if token in self.expired:
            return _expired(call)
        return self._answered(call, fault, answer)

    def _answered(
        self, call: Call, fault: Fault | None, answer: Callable[[Call], Answer]
    ) -> Answer:
        if fault in _REFUSALS:
            return _REFUSALS[fault](call)
        if fault is Fault.DROPPED_BEFORE:
            raise Dropped
        if fault is Fault.SLOW:
            self.clock.ahead += 30
        answered = answer(call)
        if fault is Fault.KILLED and self.pid:
            os.kill(self.pid, signal.SIGKILL)
        if fault in (Fault.DROPPED_AFTER, Fault.KILLED, Fault.LATE):
            raise Dropped(self.late if fault is Fault.LATE else 0)
        return answered


def _throttled(call: Call) -> Answer:
    if ".blob." in call.host:  # blob storage has its own word for it
        return error(503, "ServerBusy", "The server is busy.")
    throttled = error(429, "TooManyRequests", "the rate limit is reached")
    return Answer(429, throttled.body, {**throttled.headers, "retry-after-ms": "5"})


_REFUSALS: dict[Fault | None, Callable[[Call], Answer]] = {
    Fault.THROTTLED: _throttled,
    Fault.BROKEN: lambda call: error(500, "InternalServerError", "something broke"),
}


def _expired(call: Call) -> Answer:
    """As each service words it; the header tells the client where to get another."""
    login = f"https://login.localhost/{TENANT}"
    if ".blob." in call.host:
        said = "Lifetime validation failed. The token is expired."
        body = f"<Error><Code>InvalidAuthenticationInfo</Code><Message>{said}</Message></Error>"
        where = f"Bearer authorization_uri={login}/oauth2/authorize resource_id=https://storage.azure.com"
        own = {"x-ms-error-code": "InvalidAuthenticationInfo", "Content-Type": "application/xml"}
        return Answer(401, body.encode(), {**own, "WWW-Authenticate": where})
    said = "The access token expiry UTC time is earlier than current UTC time."
    where = (
        f'Bearer authorization_uri="{login}", error="invalid_token", error_description="expired"'
    )
    answer = error(401, "ExpiredAuthenticationToken", said)
    return Answer(401, answer.body, {**answer.headers, "WWW-Authenticate": where})
