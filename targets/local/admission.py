"""Which requests are scored now, which wait, and which are refused: bounds on what one server holds
at once, so that it answers on under any load."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from onnxferry.targets.local.refusals import ClientLeft, Overloaded, RanTooLong, WaitedTooLong

T = TypeVar("T")
LONGEST = 60  # seconds that a client is told to wait
_SMOOTHING = 0.1  # weight of the latest request in the mean time that one takes


class Admission:
    """At most `in_flight` requests run and `queue` wait, first come first served, `seconds` in all;
    `body_bytes` may be held. Used by one event loop only."""

    def __init__(
        self, in_flight: int = 64, queue: int = 256, seconds: float = 60, body_bytes: int = 2**29
    ) -> None:
        self._in_flight, self._queue = in_flight, queue
        self._seconds, self._body_bytes = seconds, body_bytes
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean = 0.0
        self.running = 0
        self.held = 0

    @property
    def waiting(self) -> int:
        """Requests that wait to be scored."""
        return len(self._waiting)

    def hold(self, size: int) -> None:
        """Count `size` bytes of a body, until let_go. Raises Overloaded."""
        if self.held + size > self._body_bytes:
            raise self._overloaded("the bodies of other requests fill the memory for them")
        self.held += size

    def let_go(self, size: int) -> None:
        """A body of `size` bytes is no longer held."""
        self.held -= size

    def check(self) -> None:
        """Raise Overloaded where a request would find the queue full, before its body is read."""
        if self.running >= self._in_flight and self.waiting >= self._queue:
            raise self._overloaded(f"{self.running} requests are scored and {self.waiting} wait")

    async def run(
        self, score: Callable[[], Awaitable[T]], left: Callable[[], Awaitable[object]]
    ) -> T:
        """What `score()` gives. A request that waits when `left()` is done gives up its place and
        raises ClientLeft; one that has begun keeps its place until it ends, also when nobody
        waits for it any more. Raises Overloaded, WaitedTooLong or RanTooLong."""
        began = time.monotonic()
        if self.running >= self._in_flight:
            self.check()
            await self._turn(left)
        else:
            self.running += 1
        task = asyncio.ensure_future(score())
        task.add_done_callback(lambda _: self._ended(began))
        done, _ = await asyncio.wait(
            {task}, timeout=max(0, began + self._seconds - time.monotonic())
        )
        if not done:
            raise RanTooLong(f"the request was not scored within {self._seconds:g} s")
        return task.result()

    async def _turn(self, left: Callable[[], Awaitable[object]]) -> None:
        """Wait for a place, which who leaves one hands over."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        gone = asyncio.ensure_future(left())
        try:
            options = {turn, gone}
            await asyncio.wait(options, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if turn.done():
                return
            if gone.done():
                raise ClientLeft("the client closed the connection")
            wait = self._overloaded("").headers
            raise WaitedTooLong(f"no time to score it within {self._seconds:g} s", wait)
        except BaseException:
            self._withdraw(turn)
            raise
        finally:
            gone.cancel()

    def _withdraw(self, turn: asyncio.Future[None]) -> None:
        """Leave the queue, or hand on the place that came at the same moment."""
        if turn.done():
            self._next()
        else:
            self._waiting.remove(turn)

    def _ended(self, began: float) -> None:
        spent = time.monotonic() - began
        self._mean += (spent - self._mean) * (_SMOOTHING if self._mean else 1)
        self._next()

    def _next(self) -> None:
        """The place of one that ended goes to who waits longest."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.running -= 1

    def _overloaded(self, why: str) -> Overloaded:
        """With the seconds after which a place is likely: as long as one of those here takes."""
        seconds = min(LONGEST, max(1, math.ceil(self._mean)))
        what = f"the server is busy: {why}; try again in {seconds} s"
        return Overloaded(what, {"Retry-After": str(seconds)})
