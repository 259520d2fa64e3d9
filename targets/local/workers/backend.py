"""A Backend of scoring processes.

A request waits here, oldest first, until a process has room for it. When a process dies, what it
had not answered goes to the front again, each then alone in a process, so that one that kills its
process takes no other with it; it is refused when it was sent TRIES times. Another process starts in
the dead one's place.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from onnxferry import scoring
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import ModelError
from onnxferry.targets.local import forms
from onnxferry.targets.local.backend import CALLS, Answered, Served, served
from onnxferry.targets.local.observation import Observation
from onnxferry.targets.local.workers.frames import Frame
from onnxferry.targets.local.workers.worker import Call, Worker, WorkerDied, environment

_LOG = logging.getLogger(__name__)
TRIES = 3  # processes that one request may be sent to
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before the next attempt to start a process


class WorkerDeath(scoring.ScoringError):
    """A request whose processes died."""

    code, status = "worker_died", 500


class WorkerBackend:
    """See Backend and the module. Only for the event loop's thread."""

    def __init__(self, folders: Mapping[str, Path], count: int) -> None:
        self.restarts = 0
        self._folders = dict(folders)
        self._count = count
        self._workers: list[Worker] = []
        self._waiting: deque[Call] = deque()
        self._models: dict[str, Served] = {}
        self._keys: dict[str, str] = {}  # of what answers for a model, in the processes
        self._loads = 0
        self._reviving: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def models(self) -> Mapping[str, Served]:
        """See Backend."""
        return self._models

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that score."""
        return tuple(worker.pid for worker in self._workers)

    @property
    def waiting(self) -> int:
        """Requests that no process has yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """See Backend."""
        threads = next(v for k, v in environment(self._count).items() if k.endswith("_THREADS"))
        _LOG.info("%d scoring processes, engine threads of each: %s", self._count, threads)
        for name, folder in self._folders.items():
            self._models[name] = served(name, folder)
            self._keys[name] = self._new_key(name)
        try:
            starts = [asyncio.create_task(self._add()) for _ in range(self._count)]
            await asyncio.gather(*starts)
        except BaseException:
            await asyncio.wait(starts)
            await self.stop()
            raise

    async def handle(self, model: str, request: scoring.Request, form: str) -> Answered:
        """See Backend."""
        sent = asdict(request)
        body = sent.pop("body")
        header = {"do": "score", "key": self._keys[model], "form": form, "request": sent}
        call = Call(header, asyncio.get_running_loop().create_future(), body)
        self._waiting.append(call)
        self.freed()
        try:
            return _answered(await call.answer)
        except WorkerDied:
            tried = f"the process that scored this request died, {TRIES} times"
            error = WorkerDeath(f"{tried}; it is not sent again. The host's log tells more")
            body = encode_json(forms.named(form).refusal(error))
            return scoring.Response(error.status, body), Observation({}, code=error.code)

    async def replace(self, model: str, folder: Path) -> None:
        """See Backend."""
        new, loaded = served(model, folder), self._new_key(model)
        try:
            for _ in range(TRIES):
                if await self._load(loaded, folder):
                    break
            else:
                raise ModelError(f"{folder}: scoring processes died while they loaded it")
        except ModelError:
            await self._drop(loaded)
            raise
        before = self._keys[model]
        self._keys[model], self._models[model] = loaded, new
        for call in self._waiting:
            if call.header["key"] == before:
                call.header = {**call.header, "key": loaded}
        await self._drop(before)

    async def stop(self) -> None:
        """See Backend."""
        self._stopping = True
        for task in self._reviving:
            task.cancel()
        await asyncio.gather(*(worker.end() for worker in self._workers))

    def freed(self) -> None:
        """See Owner: send what waits, as far as there is room."""
        while self._waiting:
            call = self._waiting[0]
            if call.answer.done():  # the client left, or its time is up
                self._waiting.popleft()
            elif worker := self._room(alone=call.deaths > 0):
                worker.alone = call.deaths > 0
                worker.send(self._waiting.popleft())
            else:
                return

    def _room(self, alone: bool) -> Worker | None:
        most = 1 if alone else CALLS
        free = [w for w in self._workers if len(w.pending) < most and not w.alone]
        return min(free, key=lambda worker: len(worker.pending), default=None)
