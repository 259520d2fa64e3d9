"""A server under measurement: started in processes of its own until the block ends, or found by its
URL; and what all its processes use."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped]

from onnxferry.scripts.benchmark.process import OFFLINE
from onnxferry.scripts.benchmark.server import protocols
from onnxferry.scripts.benchmark.server.protocols import MODEL, Answer
from onnxferry.scripts.benchmark.server.specs import ServerSpec
from onnxferry.scripts.rehearse.processes import running, tail
from onnxferry.system.errors import BenchmarkError

START = 180.0  # seconds until the first right answer, at most
PATIENCE = 10.0  # with one that runs already
LIMIT = 30.0  # seconds that an answer takes at most
_PAUSE = 0.05  # seconds between two questions whether it is there
_LINES = 15  # of what it printed last


@dataclass(frozen=True)
class Usage:
    """Of all its processes: CPU seconds so far, bytes of memory with shared pages counted once
    (PSS), and how many processes and threads they are."""

    cpu: float
    memory: int
    processes: int
    threads: int


@dataclass(frozen=True)
class RunningServer:
    """`url` takes POSTs; `start`: seconds from the process's start to the first right answer;
    `pids`: the processes that were started, where known, without those below them."""

    url: str
    start: float | None
    pids: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    def usage(self) -> Usage | None:
        """What it uses; None where it runs elsewhere, or the system does not tell."""
        seen = list(_usages(self.pids))
        if not seen:
            return None
        cpu, memory, processes, threads = (sum(parts) for parts in zip(*seen, strict=True))
        return Usage(cpu, int(memory), int(processes), int(threads))

    def answers(self, bodies: Sequence[bytes]) -> tuple[Answer, ...]:
        """Those to `bodies`, one after the other. Raises BenchmarkError."""
        with httpx.Client(headers=self.headers, timeout=LIMIT) as client:
            return tuple(_answer(client, self.url, body) for body in bodies)


def _answer(client: httpx.Client, url: str, body: bytes) -> Answer:
    """Raises BenchmarkError when it is none."""
    try:
        reply = client.post(url, content=body)
        if reply.status_code == 200:
            return protocols.read(reply.content)
        why = f"{reply.status_code}: {reply.text[:200]}"
    except httpx.HTTPError as e:
        why = str(e) or type(e).__name__
    except ValueError as e:
        why = f"not JSON: {e}"
    raise BenchmarkError(f"{url}: no answer; {why}")


def _usages(pids: tuple[int, ...]) -> Iterator[tuple[float, int, int, int]]:
    """CPU seconds, memory, one process and its threads, of each process."""
    for pid in pids:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error, AttributeError):  # ended; not Linux
                    cpu, memory = sum(process.cpu_times()[:4]), process.memory_full_info().pss
                    yield cpu, memory, 1, process.num_threads()


@contextmanager
def serving(spec: ServerSpec, first: bytes, headers: Mapping[str, str]) -> Iterator[RunningServer]:
    """The server, once it answers the body `first`. Raises BenchmarkError with the last answer, and
    with what it printed last."""
    headers = {"Content-Type": "application/json", **headers}
    if spec.kind is None:
        url = _joined(spec.place, spec)
        server = RunningServer(url, None, _listening(urlsplit(url).port or 80), headers)
        _wait(server, first, time.monotonic() + PATIENCE)
        yield server
        return
    with tempfile.TemporaryDirectory(prefix="onnxferry-server-") as home:
        log, port = Path(home, "log"), _free_port()
        env = {**os.environ, **OFFLINE, **spec.environment, "TMPDIR": home}
        env |= {"FOLDER": str(Path(spec.place).resolve()), "PORT": str(port)}
        server = RunningServer(_joined(f"http://127.0.0.1:{port}", spec), None, (), headers)
        began = time.monotonic()
        with running(spec.command(port), env=env, cwd=spec.kind.folder, log=log) as process:
            try:
                _wait(server, first, began + START, lambda: process.poll() is not None)
            except BenchmarkError as e:
                raise e.with_context(f"{spec.name} printed last:\n{tail(log, _LINES)}") from None
            took = time.monotonic() - began
            pids = tuple(child.pid for child in psutil.Process(process.pid).children())
            yield replace(server, start=took, pids=pids)


def _wait(
    server: RunningServer, first: bytes, until: float, ended: Callable[[], bool] = lambda: False
) -> None:
    """Return with the first answer. Raises BenchmarkError that tells what came last."""
    # one client: making one takes longer than a request, on the cores that the server starts on
    with httpx.Client(headers=server.headers, timeout=LIMIT) as client:
        while True:
            try:
                _answer(client, server.url, first)
                return
            except BenchmarkError:
                if ended() or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE)


def _joined(url: str, spec: ServerSpec) -> str:
    """The URL to POST to: its own path, else the protocol's."""
    if urlsplit(url).path.strip("/"):
        return url
    return url.rstrip("/") + spec.protocol.path.replace(MODEL, spec.model)


def _listening(port: int) -> tuple[int, ...]:
    """The first process of those that listen on the port of this machine."""
    with suppress(psutil.Error):
        found = [
            psutil.Process(each.pid)
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
        ]
        return (min(found, key=psutil.Process.create_time).pid,) if found else ()
    return ()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
