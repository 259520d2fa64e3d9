"""One scoring process as the server sees it: what it was sent, and what it has not answered."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from onnxferry.scoring import cpu
from onnxferry.scoring.engine_options import PREFIX
from onnxferry.targets.local.workers.frames import Frame, Splitter

# it imports from where this process does, whose main module it does not run
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:];"
    "from onnxferry.targets.local.workers.process import main; main()"
)
THREADS = f"{PREFIX}THREADS"  # the variable of the engine's threads
ENDS = 10.0  # seconds that a process has to end by itself


class WorkerDied(Exception):
    """The process ended before it answered."""


@dataclass(eq=False)
class Call:
    """One frame, the future of its answer, and how many processes died with it."""

    header: Mapping[str, Any]
    answer: asyncio.Future[Frame]
    body: bytes = b""
    deaths: int = 0


class Owner(Protocol):
    """Who is told of a Worker."""

    def freed(self) -> None:
        """It answered a call."""

    def lost(self, worker: Worker) -> None:
        """It ended, with `pending` unanswered."""


class Worker(asyncio.Protocol):
    """A live process. `pending`: its calls by id; `alone`: it gets no other call until these are
    answered; `ready`: it has the models."""

    def __init__(self, owner: Owner) -> None:
        self.pending: dict[int, Call] = {}
        self.alone = False
        self.ready = False
        self._owner = owner
        self._count = 0
        self._frames = Splitter()
        self._process: asyncio.subprocess.Process
        self._transport: asyncio.Transport

    @staticmethod
    async def started(owner: Owner, count: int) -> Worker:
        """A new process, one of `count` that share the CPUs."""
        ours, theirs = socket.socketpair()
        worker = Worker(owner)
        with theirs:
            worker._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _PROGRAM, *sys.path),
                stdin=theirs.fileno(),
                env=environment(count),
            )
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: worker, sock=ours)
        return worker

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, call: Call, key: str) -> None:
        """Hand over a call about the model that is loaded as `key`; its future gets the answer."""
        self._count += 1
        self.pending[self._count] = call
        header = {**call.header, "key": key, "id": self._count}
        self._transport.write(Frame(header, call.body).packed())

    async def ask(self, do: str, key: str, **header: Any) -> Frame:
        """The answer to a frame. Raises WorkerDied."""
        call = Call({"do": do, **header}, asyncio.get_running_loop().create_future())
        self.send(call, key)
        return await call.answer

    async def end(self) -> None:
        """Close its socket, upon which it ends, or is killed."""
        self._transport.close()
        try:
            await asyncio.wait_for(self._process.wait(), ENDS)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        for frame in self._frames.feed(data):
            call = self.pending.pop(frame.header["id"])
            self.alone = self.alone and bool(self.pending)
            if not call.answer.done():  # else nobody waits for it any more
                call.answer.set_result(frame)
        self._owner.freed()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._owner.lost(self)


def environment(count: int, of: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of one of `count` processes: its engine has its share of the CPUs, unless `of` says else."""
    return {THREADS: str(max(1, cpu.available() // count)), **of}
