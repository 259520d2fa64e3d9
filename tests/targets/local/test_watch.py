"""A model directory that is replaced on disk: taken over when it is whole, however it was replaced;
refused when it is damaged, once; and what is served does not depend on the directory's files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.targets.local.backend import Backend, ThreadBackend
from onnxferry.targets.local.watch import Copies, Watch
from onnxferry.targets.local.workers.backend import WorkerBackend
from tests import tiny

REQUEST = scoring.Request(b'{"inputs": "good day"}')
GOOD = [{"label": "good", "score": 0.7782682776451111}]


def hashed(folder: Path, answer: Any = GOOD) -> Path:
    """With the files' hashes and a golden request in its spec, as prepare writes it."""
    spec = ModelSpec.read(folder)
    names = ("model.onnx", "tokenizer.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    golden = tiny.golden({"inputs": "good day"}, answer)
    return tiny.write_spec(folder, replace(spec, files=files, golden=golden))


def first(folder: Path) -> Path:
    return hashed(tiny.text_classification(folder))


def second(folder: Path) -> Path:
    """Another graph, whose answer to the request is bad."""
    made = tiny.text_classification(folder)
    tiny.pooled_graph(folder / "model.onnx", {"good": (9, 0, 0)}, 3)
    answer = json.loads(scoring.load(made).handle(REQUEST).body)
    return hashed(made, answer)


@dataclass
class Watched:
    """A server's backend and watch, without its HTTP."""

    backend: Backend
    watch: Watch
    folder: Path
    told: list[tuple[str, str]]

    async def look(self) -> None:
        """Once after a change, and once when nothing changed since."""
        for _ in range(2):
            await self.watch.look(self.backend.replace, lambda *what: self.told.append(what))

    async def label(self) -> str:
        answer = await self.backend.handle("m", REQUEST, "pipeline")
        assert answer.status == 200
        return str(json.loads(answer.body)[0]["label"])


@asynccontextmanager
async def watched(folder: Path, workers: int = 0) -> AsyncIterator[Watched]:
    copies = Copies(folder.parent)
    watch = Watch({"m": folder}, copies)
    backend: Backend = (
        WorkerBackend(watch.folders, workers) if workers else ThreadBackend(watch.folders)
    )
    try:
        await backend.start()
        yield Watched(backend, watch, folder, [])
    finally:
        await backend.stop()
        copies.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 120))


def by_rename(new: Path, folder: Path) -> None:
    folder.rename(folder.with_name("before"))
    new.rename(folder)


def file_by_file(new: Path, folder: Path) -> None:
    for file in sorted(new.iterdir()):
        shutil.copyfile(file, folder / file.name)


def by_link(new: Path, folder: Path) -> None:
    folder.rename(folder.with_name("before"))
    link = folder.with_name("link")
    link.symlink_to(new)
    link.replace(folder)


@pytest.mark.parametrize("put", [by_rename, file_by_file, by_link])
def test_it_is_taken_over_however_it_was_replaced(
    tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    async def test() -> None:
        async with watched(first(tmp_path / "m")) as server:
            assert await server.label() == "good"
            await server.look()
            assert server.told == []
            put(second(tmp_path / "new"), server.folder)
            await server.look()
            await server.look()
            assert await server.label() == "bad"
            assert server.told == [("m", "taken")]

    run(test)
    assert not list(tmp_path.glob("onnxferry-served-*"))


def test_it_is_left_alone_until_every_file_has_its_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with watched(first(tmp_path / "m")) as server:
            new = second(tmp_path / "new")
            for name in ("model_spec.json", "model.onnx"):
                assert await server.label() == "good"
                shutil.copyfile(new / name, server.folder / name)
                await server.look()
            assert await server.label() == "bad"

    with caplog.at_level(logging.ERROR):
        run(test)
    (record,) = caplog.records
    assert "model.onnx has not the sha256" in record.getMessage()


def cut_short(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 100)


def no_graph(folder: Path) -> None:
    (folder / "model.onnx").write_text("not a graph")
    hashed(folder)


def wrong_answer(folder: Path) -> None:
    hashed(folder, [{"label": "bad", "score": 0.5}])


def no_json(folder: Path) -> None:
    (folder / "model_spec.json").write_text("{")


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_short, "has not the sha256"),
        (no_graph, "cannot load it"),
        (wrong_answer, "the golden request differs"),
        (no_json, "not readable as JSON"),
        (no_tokenizer, "tokenizer.json"),
    ],
)
def test_a_damaged_one_is_refused_with_one_line_and_the_old_one_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], said: str
) -> None:
    async def test() -> None:
        async with watched(first(tmp_path / "m")) as server:
            damage(server.folder)
            for _ in range(3):
                await server.look()
                assert await server.label() == "good"
            assert server.told == [("m", "refused")]

    with caplog.at_level(logging.ERROR):
        run(test)
    (record,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert "the old one serves on" in record.getMessage()
    assert said in record.getMessage()


@pytest.mark.host
def test_processes_take_over_without_a_lost_request_and_are_replaced_from_the_copy(
    tmp_path: Path,
) -> None:
    """The directory is damaged under load, then replaced, and processes are killed in between."""

    async def test() -> None:
        async with watched(first(tmp_path / "m"), workers=2) as server:
            asked = [asyncio.create_task(server.label()) for _ in range(200)]
            cut_short(server.folder)
            await server.look()
            os.kill(server.backend.pids[0], 9)
            assert {*await asyncio.gather(*asked)} == {"good"}
            while server.backend.restarts < 1:
                await asyncio.sleep(0.01)
            asked = [asyncio.create_task(server.label()) for _ in range(200)]
            file_by_file(second(tmp_path / "new"), server.folder)
            await server.look()
            assert {*await asyncio.gather(*asked)} <= {"good", "bad"}
            assert await server.label() == "bad"
            assert server.told == [("m", "refused"), ("m", "taken")]

    run(test)


def test_copies_of_a_server_that_was_killed_are_removed_and_no_others(tmp_path: Path) -> None:
    alive, dead = Copies(tmp_path), tmp_path / "onnxferry-served-dead"
    copy = alive.copy(first(tmp_path / "m"))
    dead.mkdir()
    for folder in (dead, copy.parent):
        os.utime(folder, (0, 0))
    Copies(tmp_path).close()
    assert not dead.exists()
    assert copy.exists()
    alive.close()
    assert not copy.exists()


def test_a_directory_that_cannot_be_served_ends_the_start(tmp_path: Path) -> None:
    folder = first(tmp_path / "m")
    cut_short(folder)
    copies = Copies(tmp_path)
    with pytest.raises(ModelError, match="has not the sha256"):
        Watch({"m": folder}, copies)
    copies.close()
