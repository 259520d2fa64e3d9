"""Scoring processes: the same answers as threads give, none lost when a process is killed, none
sent again for ever, and no process left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.scoring.errors import ModelError
from onnxferry.targets.local.observation import Observation
from onnxferry.targets.local.workers.backend import WorkerBackend
from onnxferry.targets.local.workers.frames import Frame, Splitter
from onnxferry.targets.local.workers.worker import THREADS, environment
from tests import tiny
from tests.eventually import eventually

ROOT = Path(__file__).parents[3]
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


DEADLY = """
import os, signal
from onnxferry.scoring.wire import JSON

class Deadly:
    accepts = (JSON,)

    def __init__(self, spec, runner, folder):
        pass

    def answer(self, payload):
        if payload["inputs"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return payload["inputs"]
"""


@host
def test_a_request_that_kills_its_processes_takes_no_other_with_it(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path / "deadly")
    (folder / "deadly.py").write_text(DEADLY)
    files = {"deadly.py": hashlib.sha256(DEADLY.encode()).hexdigest()}
    tiny.write_spec(folder, scoring.ModelSpec("deadly", "file:deadly.py:Deadly", files=files))

    async def test() -> None:
        async with processes(folder, 1) as backend:
            texts = [f"text {i}" for i in range(20)]
            texts.insert(3, "die")
            bodies = [json.dumps({"inputs": text}).encode() for text in texts]
            calls = [backend.handle("m", scoring.Request(body), "pipeline") for body in bodies]
            answers = await asyncio.gather(*calls)
            found = [json.loads(answer.body) for answer in answers]
            refusal = found.pop(3)
            assert (answers[3].status, refusal["error"]["code"]) == (500, "worker_died")
            assert "3 of 3" in refusal["error"]["message"]
            assert found == [f"text {i}" for i in range(20)]
            await soon(lambda: backend.restarts == 3)

    run(test)


@host
def test_a_model_that_cannot_be_loaded_ends_the_start_with_the_cores_message(
    tmp_path: Path,
) -> None:
    folder = tiny.text_classification(tmp_path / "broken")
    (folder / "model.onnx").write_text("not a graph")

    async def test() -> None:
        with pytest.raises(ModelError, match=r"model.onnx: onnxruntime .* cannot load it"):
            async with processes(folder, 2):
                pass

    before = psutil.Process().children()  # of other tests' servers
    run(test)
    assert psutil.Process().children() == before


@host
def test_a_model_is_replaced_under_load_and_what_cannot_be_loaded_is_not(tmp_path: Path) -> None:
    old = tiny.text_classification(tmp_path / "old")
    new = tiny.text_classification(tmp_path / "new", problem="multi_label_classification")
    broken = tiny.text_classification(tmp_path / "broken")
    (broken / "model.onnx").write_text("not a graph")
    bodies = [scoring.load(folder).handle(REQUEST).body for folder in (old, new)]

    async def test() -> None:
        async with processes(old, 2) as backend:
            asked = [
                asyncio.create_task(backend.handle("m", REQUEST, "pipeline")) for _ in range(300)
            ]
            with pytest.raises(ModelError, match="cannot load it"):
                await backend.replace("m", broken)
            await backend.replace("m", new)
            assert {(a.status, a.body) for a in await asyncio.gather(*asked)} <= {
                (200, body) for body in bodies
            }
            assert (await backend.handle("m", REQUEST, "pipeline")).body == bodies[1]
            assert backend.models["m"].folder == new

    run(test)


PARENT = """
import asyncio, sys
from pathlib import Path
from onnxferry.targets.local.workers.backend import WorkerBackend

async def main():
    backend = WorkerBackend({"m": Path(sys.argv[1])}, 2)
    await backend.start()
    print(*backend.pids, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@host
def test_processes_end_with_a_server_that_is_killed(model: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(model)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    for pid in pids:  # Ctrl-C and a supervisor's SIGTERM reach the whole group
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert len(pids) == 2
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not any(map(psutil.pid_exists, pids)))
