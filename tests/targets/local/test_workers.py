"""Scoring processes: the same answers as threads give, none lost when a process is killed, none
sent again for ever, and no process left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.targets.local.observation import Observation
from onnxferry.targets.local.workers.backend import WorkerBackend
from onnxferry.targets.local.workers.frames import Frame, Splitter
from onnxferry.targets.local.workers.worker import THREADS, environment
from tests import tiny

host = pytest.mark.host
REQUEST = scoring.Request(b'{"inputs": "good day"}', id="one")
BROKEN = scoring.Request(b"{}", id="two")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("workers") / "model")


@asynccontextmanager
async def processes(folder: Path, count: int = 1, **options: Any) -> AsyncIterator[WorkerBackend]:
    backend = WorkerBackend({"m": folder}, count, **options)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 120))


async def soon(condition: Callable[[], object]) -> None:
    """Until it holds; the test's own limit ends it."""
    while not condition():
        await asyncio.sleep(0.01)


@given(
    st.lists(st.tuples(st.dictionaries(st.text(), st.text()), st.binary()), max_size=5),
    st.integers(1, 40),
)
def test_frames_come_as_they_were_sent_in_parts_of_any_size(
    sent: list[tuple[dict[str, str], bytes]], size: int
) -> None:
    frames = [Frame(header, body) for header, body in sent]
    data = b"".join(frame.packed() for frame in frames)
    splitter = Splitter()
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    assert [frame for part in parts for frame in splitter.feed(part)] == frames


@pytest.mark.parametrize(
    ("count", "given", "threads"),
    [(1, {}, "8"), (3, {}, "2"), (9, {}, "1"), (2, {THREADS: "5"}, "5")],
)
def test_processes_share_the_cpus(
    monkeypatch: pytest.MonkeyPatch, count: int, given: dict[str, str], threads: str
) -> None:
    monkeypatch.setattr("onnxferry.scoring.cpu.available", lambda: 8)
    assert environment(count, given)[THREADS] == threads


@host
def test_processes_answer_as_threads_do_and_tell_what_it_cost(model: Path) -> None:
    expected = [scoring.load(model).handle(request) for request in (REQUEST, BROKEN)]
    told: list[tuple[str, Observation]] = []

    async def test() -> None:
        async with processes(model, 2, observer=lambda *seen: told.append(seen)) as backend:
            answers = [await backend.handle("m", one, "pipeline") for one in (REQUEST, BROKEN)]
        for answer, right in zip(answers, expected, strict=True):
            assert (answer.status, answer.body) == (right.status, right.body)
            assert answer.content_type == right.content_type
            assert answer.headers.keys() == right.headers.keys()
            assert answer.headers["X-Request-Id"] == right.headers["X-Request-Id"]
        assert all(not psutil.pid_exists(pid) for pid in backend.pids)

    run(test)
    assert [(name, seen.items, seen.code) for name, seen in told] == [
        ("m", 1, None),
        ("m", 0, "missing_field"),
    ]
    assert told[0][1].tokens == 4


@host
def test_nothing_is_lost_when_processes_are_killed_under_load(model: Path) -> None:
    right = scoring.load(model).handle(REQUEST).body

    async def test() -> None:
        async with processes(model, 2) as backend:
            asked = [
                asyncio.create_task(backend.handle("m", REQUEST, "pipeline")) for _ in range(500)
            ]
            for number in range(2):
                await asyncio.sleep(0.02)
                before = backend.pids
                os.kill(before[0], signal.SIGKILL)
                await soon(lambda: len(backend.pids) == 2 and backend.restarts == number + 1)  # noqa: B023
            answers = await asyncio.gather(*asked)
            assert {(answer.status, answer.body) for answer in answers} == {(200, right)}

    run(test)


@host
def test_a_request_that_kills_its_processes_takes_no_other_with_it(model: Path) -> None:
    """Every process that scores it stops; the test then kills that process."""

    async def test() -> None:
        async with processes(model, 1) as backend:
            for death in range(3):
                os.kill(backend.pids[0], signal.SIGSTOP)
                if not death:
                    guilty = asyncio.create_task(backend.handle("m", REQUEST, "pipeline"))
                    others = [
                        asyncio.create_task(backend.handle("m", BROKEN, "pipeline"))
                        for _ in range(20)
                    ]
                    await asyncio.sleep(0.05)
                    assert backend.waiting == 0
                else:
                    assert backend.waiting == 20  # it alone is in the process
                before = backend.restarts
                killed = backend.pids[0]
                os.kill(killed, signal.SIGKILL)
                await soon(lambda: killed not in backend.pids)  # noqa: B023
                if death < 2:
                    await soon(lambda: backend.restarts > before)  # noqa: B023
            answer = await guilty
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (500, "worker_died")
            assert {one.status for one in await asyncio.gather(*others)} == {400}

    run(test)
