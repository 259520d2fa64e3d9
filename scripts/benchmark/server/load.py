"""The load generator: a closed loop of clients, each of which asks again when it is answered, or
requests that arrive at their times whether or not earlier ones are answered.

It runs in a process of its own (`LoadGenerator`), apart from what watches the server. Where
requests arrive by time, latency counts from the planned arrival: a server that stands still, or a
generator that is late, is not flattered.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from onnxferry.system.errors import UsageError

AFTER_ERROR = 0.01  # seconds until a client that was refused asks again


@dataclass(frozen=True)
class LoadPlan:
    """POSTs of `bodies`, in turn, to `url`. Either `clients`, each of which waits `pause` seconds
    after an answer, or `arrivals`, in seconds. What is asked before `warm_up` does not count, nor
    what is answered after `seconds`; arrivals are all waited for, a request `limit` seconds.
    The answers to the first `kept` bodies are kept."""

    url: str
    bodies: tuple[bytes, ...]
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    warm_up: float = 0.0
    clients: int = 1
    pause: float = 0.0
    arrivals: tuple[float, ...] | None = None
    limit: float = 30.0
    kept: int = 0


@dataclass(frozen=True)
class Load:
    """What became of it: seconds of each answer that counts and has status 2xx; `errors` by status
    or kind, of all requests; `asked`, all requests, with those that do not count; the generator's
    `cpu` seconds for them, and how `late` it sent them; `kept`: number of a body, answer."""

    latencies: tuple[float, ...]
    seconds: float
    asked: int
    errors: Mapping[str, int]
    cpu: float
    late: tuple[float, ...]
    kept: tuple[tuple[int, bytes], ...]

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.latencies) / self.seconds


class LoadGenerator:
    """The generator's process, for as long as the block."""

    def __enter__(self) -> LoadGenerator:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=_alone)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def play(self, plan: LoadPlan) -> Load:
        """Carry out a plan. Raises UsageError without aiohttp."""
        try:
            return self._pool.submit(run, plan).result()
        except ModuleNotFoundError as e:
            needed = "servers are asked by aiohttp, which is not installed: pip install aiohttp"
            raise UsageError(f"--server: {needed}") from e


def _alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    gc.disable()  # a collection would be a pause that no server made


def run(plan: LoadPlan) -> Load:
    """The plan in this process."""
    with suppress(ImportError):  # where it is installed
        import uvloop

        return uvloop.run(_run(plan))
    return asyncio.run(_run(plan))


async def _run(plan: LoadPlan) -> Load:
    async with _connected(plan) as ask:
        began, cpu = time.perf_counter(), time.process_time()
        seen = _Seen(plan, ask, began)
        await (seen.closed() if plan.arrivals is None else seen.open())
        return seen.load(time.process_time() - cpu)


Ask = Callable[[bytes], Coroutine[Any, Any, tuple[int, bytes]]]  # body -> status, answer


@asynccontextmanager
async def _connected(plan: LoadPlan) -> AsyncIterator[Ask]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)  # a connection for each request at a time, kept alive
    headers = {"Content-Type": "application/json", **plan.headers}
    limit = aiohttp.ClientTimeout(total=plan.limit)
    less = {"cookie_jar": aiohttp.DummyCookieJar(), "skip_auto_headers": ("User-Agent", "Accept")}
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=limit, **less
    ) as session:

        async def ask(body: bytes) -> tuple[int, bytes]:
            async with session.post(plan.url, data=body) as answer:
                return answer.status, await answer.read()

        yield ask


class _Seen:
    """One run of a plan."""

    def __init__(self, plan: LoadPlan, ask: Ask, began: float) -> None:
        self._plan, self._ask, self._began = plan, ask, began
        self._numbers = itertools.count()
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._errors: Counter[str] = Counter()
        self._kept: list[tuple[int, bytes]] = []
        self._asked = 0
        self._last = 0.0

    def _now(self) -> float:
        return time.perf_counter() - self._began

    async def closed(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._plan.clients)))

    async def _client(self) -> None:
        while (now := self._now()) < self._plan.seconds:
            answered = await self._one(now, now)
            pause = self._plan.pause if answered else max(self._plan.pause, AFTER_ERROR)
            if pause:
                await asyncio.sleep(pause)

    async def open(self) -> None:
        waiting = set()
        for planned in self._plan.arrivals or ():
            if (wait := planned - self._now()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._one(planned, self._now()))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)

    async def _one(self, planned: float, sent: float) -> bool:
        """Ask once, which should have been at `planned`. Returns whether it is a success."""
        number = next(self._numbers) % len(self._plan.bodies)
        self._asked += 1
        try:
            status, answer = await self._ask(self._plan.bodies[number])
        except (OSError, asyncio.TimeoutError, _client_error()) as e:
            self._errors[type(e).__name__] += 1
            return False
        if status // 100 != 2:
            self._errors[str(status)] += 1
            return False
        if number < self._plan.kept:
            self._kept.append((number, answer))
        self._note(planned, sent, self._now())
        return True

    def _note(self, planned: float, sent: float, now: float) -> None:
        plan = self._plan
        closed = plan.arrivals is None and plan.warm_up <= now <= plan.seconds
        if closed or (plan.arrivals is not None and planned >= plan.warm_up):
            self._latencies.append(now - planned)
            self._late.append(sent - planned)
            self._last = now

    def load(self, cpu: float) -> Load:
        end = self._plan.seconds if self._plan.arrivals is None else self._last
        seconds = max(end - self._plan.warm_up, 1e-9)
        seen = tuple(self._latencies), seconds, self._asked, dict(self._errors)
        return Load(*seen, cpu, tuple(self._late), tuple(self._kept))


def _client_error() -> type[Exception]:
    import aiohttp

    return aiohttp.ClientError  # type: ignore[no-any-return]
