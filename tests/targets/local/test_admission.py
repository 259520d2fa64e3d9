"""Admission: how many run, wait and are refused; who leaves gives up a place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from onnxferry.targets.local.admission import Admission
from onnxferry.targets.local.refusals import ClientLeft, Overloaded, RanTooLong, WaitedTooLong


async def never() -> None:
    await asyncio.Event().wait()


class Work:
    """Scores each request when `go` is set; `order` holds those that have begun."""

    def __init__(self, admission: Admission) -> None:
        self.admission, self.go, self.order = admission, asyncio.Event(), list[int]()

    def ask(self, number: int, left: Callable[[], Awaitable[None]] = never) -> asyncio.Task[int]:
        async def score() -> int:
            self.order.append(number)
            await self.go.wait()
            return number

        return asyncio.ensure_future(self.admission.run(score, left))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_those_that_wait_run_in_their_order_and_more_are_refused() -> None:
    async def check() -> None:
        work = Work(Admission(in_flight=2, queue=3))
        asked = [work.ask(number) for number in range(6)]
        await settle()
        assert (work.order, work.admission.running, work.admission.waiting) == ([0, 1], 2, 3)
        with pytest.raises(Overloaded, match="2 requests are scored and 3 wait") as refused:
            await asked[5]
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        work.go.set()
        assert await asyncio.gather(*asked[:5]) == [0, 1, 2, 3, 4]
        await settle()
        assert (work.order, work.admission.running) == ([0, 1, 2, 3, 4], 0)

    asyncio.run(check())


def test_who_leaves_while_waiting_gives_the_place_to_the_next() -> None:
    async def check() -> None:
        work, gone = Work(Admission(in_flight=1, queue=1)), asyncio.Event()

        async def leaves() -> None:
            await gone.wait()

        first, second = work.ask(1), work.ask(2, leaves)
        await settle()
        gone.set()
        with pytest.raises(ClientLeft):
            await second
        third = work.ask(3)
        await settle()
        work.go.set()
        assert (await first, await third, work.order) == (1, 3, [1, 3])

    asyncio.run(check())


def test_a_place_that_comes_as_its_request_leaves_is_handed_on() -> None:
    async def check() -> None:
        work = Work(Admission(in_flight=1, queue=2))
        asked = [work.ask(number) for number in range(3)]
        await settle()
        work.go.set()
        await asked[0]
        asked[1].cancel()  # at the very moment at which its turn has come
        assert await asked[2] == 2
        await settle()
        assert work.admission.running == 0

    asyncio.run(check())


def test_what_waits_or_runs_too_long_is_refused_and_what_runs_keeps_its_place() -> None:
    async def check() -> None:
        work = Work(Admission(in_flight=1, queue=1, seconds=0.05))
        first, second = work.ask(1), work.ask(2)
        with pytest.raises(RanTooLong):
            await first
        with pytest.raises(WaitedTooLong):
            await second
        assert (work.order, work.admission.running, work.admission.waiting) == ([1], 1, 0)
        work.go.set()
        await settle()
        assert work.admission.running == 0

    asyncio.run(check())


def test_bodies_are_counted() -> None:
    admission = Admission(body_bytes=100)
    admission.hold(60)
    with pytest.raises(Overloaded, match="fill the memory"):
        admission.hold(60)
    admission.let_go(60)
    admission.hold(100)
