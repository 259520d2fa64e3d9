"""A Backend of scoring processes.

A request waits here, oldest first, until a process has room for it. When a process dies, what it
had not answered goes to the front again, each then alone in a process, so that one that kills its
process takes no other with it; it is refused when it was sent TRIES times. Another process starts
in the dead one's place.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import ModelError
from onnxferry.targets.local import forms
from onnxferry.targets.local.backend import CALLS, Served
from onnxferry.targets.local.observation import Observation, Observer, unobserved
from onnxferry.targets.local.workers.frames import Frame
from onnxferry.targets.local.workers.worker import THREADS, Call, Worker, WorkerDied, environment

_LOG = logging.getLogger(__name__)
TRIES = 3  # processes that one request, or one load, may be sent to
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before each attempt to start a process anew


class WorkerDeath(scoring.ScoringError):
    """A request whose processes died."""

    code, status = "worker_died", 500


@dataclass(frozen=True)
class _Loaded:
    """A model in the processes, which know it by `key`."""

    key: str
    served: Served


class WorkerBackend:
    """See Backend and the module. Only for the event loop's thread."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        count: int,
        calls: int = CALLS,
        observer: Observer = unobserved,
    ) -> None:
        """`count` processes, each of which scores up to `calls` requests at once."""
        self.restarts = 0
        self._folders, self._count = folders, count
        self._calls, self._observer = calls, observer
        self._workers: list[Worker] = []
        self._waiting: deque[Call] = deque()
        self._loaded: dict[str, _Loaded] = {}
        self._loads = 0
        self._reviving: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def models(self) -> Mapping[str, Served]:
        """See Backend."""
        return {name: loaded.served for name, loaded in self._loaded.items()}

    @property
    def pids(self) -> tuple[int, ...]:
        """See Backend."""
        return tuple(worker.pid for worker in self._workers)

    @property
    def waiting(self) -> int:
        """See Backend."""
        return len(self._waiting)

    async def start(self) -> None:
        """See Backend."""
        self._loaded = {name: self._known(name, folder) for name, folder in self._folders.items()}
        starts = [asyncio.create_task(self._add()) for _ in range(self._count)]
        try:
            await asyncio.gather(*starts)
        except BaseException as e:
            await asyncio.wait(starts)
            await self.stop()
            if isinstance(e, WorkerDied):
                raise ModelError("a scoring process died while it loaded the models") from e
            raise
        threads = environment(self._count)[THREADS]
        _LOG.info("%d scoring processes, engine threads in each: %s", self._count, threads)

    async def handle(self, model: str, request: scoring.Request, form: str) -> scoring.Response:
        """See Backend."""
        sent = asdict(request)
        body = sent.pop("body")
        header = {"do": "score", "model": model, "form": form, "request": sent}
        call = Call(header, asyncio.get_running_loop().create_future(), body)
        self._waiting.append(call)
        self.freed()
        try:
            response, observed = _answered(await call.answer)
        except WorkerDied:
            response, observed = _died(form)
        self._observer(model, observed)
        return response

    async def replace(self, model: str, folder: Path) -> None:
        """See Backend."""
        before, after = self._loaded[model], self._known(model, folder)
        try:
            await self._load_everywhere(after)
        except ModelError:
            await self._drop(after)
            raise
        self._loaded[model] = after
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
            if call.answer.done():  # nobody waits for it any more
                self._waiting.popleft()
                continue
            if (worker := self._room(alone=call.deaths > 0)) is None:
                return
            worker.alone = call.deaths > 0
            worker.send(self._waiting.popleft(), key=self._loaded[call.header["model"]].key)

    def lost(self, worker: Worker) -> None:
        """See Owner: another process starts in its place, and gets what it left."""
        if worker in self._workers:
            self._workers.remove(worker)
        again = []
        for call in worker.pending.values():
            call.deaths += 1
            if call.header["do"] == "score" and call.deaths < TRIES:
                again.append(call)
            elif not call.answer.done():
                call.answer.set_exception(WorkerDied())
        self._waiting.extendleft(reversed(again))
        if worker.ready and not self._stopping:
            _LOG.error("scoring process %d died; %d requests go to another", worker.pid, len(again))
            task = asyncio.create_task(self._revive())
            self._reviving.add(task)
            task.add_done_callback(self._reviving.discard)
        self.freed()

    def _room(self, alone: bool) -> Worker | None:
        most = 1 if alone else self._calls
        free = [w for w in self._workers if len(w.pending) < most and not w.alone]
        return min(free, key=lambda worker: len(worker.pending), default=None)

    def _known(self, model: str, folder: Path) -> _Loaded:
        self._loads += 1
        return _Loaded(f"{model}:{self._loads}", Served.read(model, folder))

    async def _add(self) -> None:
        """One more process, with every model, also those that are replaced meanwhile."""
        worker = await Worker.started(self, self._count)
        has: dict[str, _Loaded] = {}
        try:
            while missing := [one for one in self._loaded.values() if one.key not in has]:
                for one in missing:
                    await _load(worker, one, proved=False)
                    has[one.key] = one
        except BaseException:
            await worker.end()
            raise
        worker.ready = True
        self._workers.append(worker)
        self.freed()

    async def _revive(self) -> None:
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            await asyncio.sleep(pause)
            try:
                await self._add()
            except (ModelError, WorkerDied, OSError) as e:
                reason = str(e) or "it died while it loaded the models"
                _LOG.error("no scoring process can start in the dead one's place: %s", reason)
            else:
                self.restarts += 1
                return

    async def _load_everywhere(self, loaded: _Loaded) -> None:
        """Also in processes that start meanwhile, in the place of one that died, say."""
        has: set[Worker] = set()
        deaths = 0
        while missing := [worker for worker in self._workers if worker not in has]:
            loads = [_load(worker, loaded, proved=True) for worker in missing]
            results = await asyncio.gather(*loads, return_exceptions=True)
            for worker, result in zip(missing, results, strict=True):
                if isinstance(result, WorkerDied):
                    deaths += 1
                elif isinstance(result, BaseException):
                    raise result
                has.add(worker)
            if deaths >= TRIES:
                raise ModelError(f"{loaded.served.folder}: processes died while they loaded it")

    async def _drop(self, loaded: _Loaded) -> None:
        """Free it where nothing is scored by it any more."""
        drops = [worker.ask("drop", loaded.key) for worker in self._workers]
        await asyncio.gather(*drops, return_exceptions=True)


async def _load(worker: Worker, loaded: _Loaded, proved: bool) -> None:
    """See backend.load. Raises ModelError, or WorkerDied."""
    folder = os.fspath(loaded.served.folder.absolute())
    answer = await worker.ask("load", loaded.key, folder=folder, proved=proved)
    if message := answer.header.get("message"):
        raise ModelError(message)


def _answered(frame: Frame) -> tuple[scoring.Response, Observation]:
    told: dict[str, Any] = {**frame.header}
    response = scoring.Response(told["status"], frame.body, told["content_type"], told["headers"])
    return response, Observation(**told["observed"])


def _died(form: str) -> tuple[scoring.Response, Observation]:
    times = f"the processes that scored this request died, {TRIES} of {TRIES}"
    error = WorkerDeath(f"{times}; it is not sent to another. The host's log tells when")
    body = encode_json(forms.named(form).refusal(error))
    return scoring.Response(error.status, body), Observation({}, code=error.code)
