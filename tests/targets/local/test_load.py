"""A server under more than it can take, from many clients, slow ones and ones that send nothing,
while it is told to end and its processes are killed: bounded, and nothing accepted is lost.

Each is short here; `-m soak` proves the same for ten minutes, or with 100,000 requests.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from tests.eventually import eventually
from tests.targets.local import serving
from tests.targets.local.serving import BACKENDS, HEADERS, Served, marked

pytestmark = pytest.mark.host
BODY = b'{"inputs": "good day"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
FLAGS = ("--in-flight", "8", "--queue", "60", "--request-seconds", "20", "--body-seconds", "1")
RATE = 320  # requests a second, where eight at once of 50 ms each are 160
GROWTH = 40 * 2**20  # bytes that all processes may grow by under load


@pytest.fixture(scope="module", params=BACKENDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    models = {
        "marked": serving.marked_model(folder / "marked"),
        "slow": serving.slow_model(folder / "slow"),
    }
    flags = (*BACKENDS[request.param], *FLAGS)
    with serving.served(models, folder / "log", *flags) as up:
        yield up


@dataclass
class Outcome:
    """Statuses, the seconds of each accepted request, and how many answers were not as they should
    be."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


def client() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=HEADERS)


async def ask(
    session: aiohttp.ClientSession, url: str, model: str, body: bytes
) -> tuple[int, Any, Any]:
    async with session.post(f"{url}/models/{model}/predict", data=body) as response:
        return response.status, json.loads(await response.read()), response.headers


async def mixed_up(url: str, clients: int, requests: int) -> list[int]:
    """The numbers of requests that got another's answer."""
    numbers, wrong = iter(range(requests)), list[int]()

    async def one(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body, expected = marked(number)
            if (await ask(session, url, "marked", body))[:2] != (200, expected):
                wrong.append(number)

    async with client() as session:
        await asyncio.gather(*(one(session) for _ in range(clients)))
    return wrong


async def overload(url: str, requests: int) -> Outcome:
    """RATE requests a second, whatever comes back."""
    outcome, tasks = Outcome(), set[asyncio.Task[None]]()

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        began = time.perf_counter()
        text = f"text {number}"
        body = json.dumps({"inputs": text}).encode()
        status, answer, headers = await ask(session, url, "slow", body)
        outcome.statuses[status] += 1
        if status == 200:
            outcome.wrong += answer != text
            outcome.seconds.append(time.perf_counter() - began)
        else:
            refused = answer["error"]["code"] == "overloaded" and int(headers["Retry-After"]) >= 1
            outcome.wrong += not refused

    async with client() as session:
        began = time.monotonic()
        for number in range(requests):
            await asyncio.sleep(max(0, began + number / RATE - time.monotonic()))
            task = asyncio.create_task(one(session, number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)  # one that fails is missing in the statuses
        await asyncio.gather(*tasks)
    return outcome


def check_overload(server: Served, requests: int) -> Outcome:
    asyncio.run(overload(server.url, RATE // 2))  # what memory it needs at all
    before = server.metrics()["onnxferry_process_memory_bytes"]
    outcome = asyncio.run(overload(server.url, requests))
    after = server.metrics()
    assert set(outcome.statuses) == {200, 429}
    assert (sum(outcome.statuses.values()), outcome.wrong) == (requests, 0)
    assert after["onnxferry_process_memory_bytes"] - before < GROWTH
    assert after["onnxferry_requests_in_flight"] == after["onnxferry_requests_waiting"] == 0
    assert still_serves(server)
    return outcome


def still_serves(server: Served) -> bool:
    return server.predict(BODY).status_code == 200


def test_beyond_capacity_it_refuses_and_stays_bounded(server: Served) -> None:
    check_overload(server, 3 * RATE // 2)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_ten_minutes_of_overload(server: Served) -> None:
    outcome = check_overload(server, 600 * RATE)
    print(server.url, dict(outcome.statuses), f"p99 {outcome.p99 * 1000:.0f} ms")
    assert outcome.p99 < 20  # the time limit; the queue's bound is 425 ms


def test_no_answer_reaches_another_client(server: Served) -> None:
    assert asyncio.run(mixed_up(server.url, 64, 500)) == []
    assert server.metrics()["onnxferry_requests_total"] >= 500


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_answer_reaches_another_client_in_100_000_requests(server: Served) -> None:
    assert asyncio.run(mixed_up(server.url, 64, 100_000)) == []


def test_a_thousand_idle_connections_leave_it_serving(server: Served) -> None:
    with ExitStack() as connections:
        for _ in range(1000):
            connections.enter_context(server.connect())
        assert still_serves(server)


def test_slow_senders_leave_it_serving_and_are_sent_away(server: Served) -> None:
    """Heads and bodies byte by byte, each byte well within any time limit for one."""
    with ExitStack() as connections:
        start = HEAD + b"1000\r\n"
        heads = [connections.enter_context(server.connect(start + b"X-A: ")) for _ in range(50)]
        bodies = [connections.enter_context(server.connect(start + b"\r\n{")) for _ in range(50)]
        waiting = {*heads, *bodies}
        until = time.monotonic() + 60
        while waiting and time.monotonic() < until:
            assert still_serves(server)
            waiting = {one for one in waiting if takes_more(one)}
            time.sleep(0.2)
        assert not waiting
        assert {one.recv(12) for one in heads + bodies} == {b"HTTP/1.1 408"}


def test_clients_that_leave_while_they_wait_cost_nothing(server: Served) -> None:
    request = HEAD.replace(b"/predict", b"/models/slow/predict") + b"%d\r\n\r\n" % len(BODY) + BODY
    for gone in [server.connect(request) for _ in range(60)]:
        gone.close()
    assert still_serves(server)
    assert eventually(lambda: server.metrics()["onnxferry_requests_waiting"] == 0)
    assert "Traceback" not in server.log.read_text()


def takes_more(connection: socket.socket) -> bool:
    """Whether it is open after another byte."""
    try:
        connection.sendall(b" ")
    except OSError:
        return False
    return not select.select([connection], [], [], 0)[0]


@pytest.mark.parametrize("kind", ["workers"])
def test_killed_and_told_to_end_under_load_it_answers_all_it_accepted(
    tmp_path: Path, kind: str
) -> None:
    """First a process of it is killed, then it gets SIGTERM."""
    model = serving.slow_model(tmp_path / "model")
    flags = (*BACKENDS[kind], "--in-flight", "8")
    with serving.served({"slow": model}, tmp_path / "log", *flags) as server:
        children = psutil.Process(server.process.pid).children()
        answers = asyncio.run(asked_until(server, 120, children[0].kill))
        assert answers == [(200, str(i)) for i in range(120)]
        assert eventually(lambda: server.metrics()["onnxferry_worker_restarts_total"] == 1)
        children = psutil.Process(server.process.pid).children()
        assert len(children) == 2
        answers = asyncio.run(asked_until(server, 100, server.process.terminate))
        for i, answer in enumerate(answers):
            # its connection was not accepted any more, or it is answered
            assert isinstance(answer, aiohttp.ClientError) or answer == (200, str(i))
        assert sum(isinstance(answer, tuple) for answer in answers) > 8
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log.read_text()
        assert not any(child.is_running() for child in children)


async def asked_until(server: Served, requests: int, then: Callable[[], object]) -> list[Any]:
    """All answers, or errors, to requests sent at once; `then()` once the first is answered."""
    async with client() as session:
        tasks = [
            asyncio.create_task(ask(session, server.url, "slow", b'{"inputs": "%d"}' % i))
            for i in range(requests)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        then()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    return [answer[:2] if isinstance(answer, tuple) else answer for answer in found]
