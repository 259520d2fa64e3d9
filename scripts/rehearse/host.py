"""A hosting runtime that is up: send it requests, see its log and its memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import httpx
import psutil  # type: ignore[import-untyped]

from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, cpu_of
from onnxferry.scripts.rehearse.limits import MemoryLimit
from onnxferry.scripts.rehearse.processes import PeakMemory, cpu_seconds, tail
from onnxferry.scripts.rehearse.runtime import Runtime, UnpackedPackage
from onnxferry.system.console import ReportStage
from onnxferry.system.errors import RehearsalError

ANSWER_LIMIT = 60.0  # seconds for one answer: SageMaker's limit for a real-time endpoint
_ASKED_AGAIN = 0.02  # seconds: a start is told to hundredths


class Host:
    """`url` is where to POST; `began` is time.monotonic() at the start of the process, and
    `healthy` the seconds from there until it was (0 before)."""

    def __init__(
        self,
        runtime: Runtime,
        unpacked: UnpackedPackage,
        port: int,
        process: Popen[bytes],
        limit: MemoryLimit,
    ) -> None:
        self._limit = limit
        self.title = runtime.title
        self.url = f"http://127.0.0.1:{port}{runtime.score}"
        self.model_dir = unpacked.model
        self.unpacked = unpacked
        self.began = time.monotonic()
        self.healthy = 0.0
        self._health = f"http://127.0.0.1:{port}{runtime.health}"
        self._log = unpacked.root / "host.log"
        self._process = process
        self._memory = PeakMemory(process)
        self._client = httpx.Client(trust_env=False, timeout=ANSWER_LIMIT)

    def send(self, request: Request) -> Reply:
        """POST one request. Raises RehearsalError where no answer comes within the limit."""
        headers = {
            "Content-Type": request.content_type,
            "Accept": request.accept,
            "Accept-Encoding": request.accept_encoding or "identity",
            "Content-Encoding": request.content_encoding,
            "X-Request-Id": request.id,
        }
        given = {name: value for name, value in headers.items() if value}
        began = time.perf_counter()
        try:
            response = self._client.post(self.url, content=request.body, headers=given)
        except httpx.TimeoutException as e:
            slow = "the model is too slow, or its worker ends again and again"
            raise self.failure(f"{self.url}: no answer within {ANSWER_LIMIT:.0f} s; {slow}") from e
        except httpx.HTTPError as e:
            raise self.failure(f"{self.url}: the connection broke ({e})") from e
        seconds, media_type = time.perf_counter() - began, response.headers.get("content-type", "")
        status, cpu = response.status_code, cpu_of(response.headers)
        return Reply(status, response.content, media_type, seconds, cpu=cpu)

    def memory_mib(self) -> float:
        """The peak of the resident memory of all processes that serve, in MiB."""
        self._memory.sample()
        return self._memory.bytes / 2**20

    def check_memory(self) -> None:
        """Raise RehearsalError where it has taken more than it may."""
        if over := self._limit.broken(self.memory_mib()):
            raise self.failure(f"the golden answer came, but {over}")

    def cpu_seconds(self) -> float:
        """The CPU time so far of all processes that serve."""
        return cpu_seconds(self._process)

    def log_tail(self, lines: int = 80) -> str:
        """The last lines that the runtime printed."""
        return tail(self._log, lines)

    def log(self) -> str:
        """All that the runtime printed until now."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def failure(self, message: str) -> RehearsalError:
        """An error that says `message` and shows the end of the runtime's log."""
        log = self.log_tail() or "(empty)"
        self._memory.sample()
        if over := self._limit.broken(self._memory.bytes / 2**20):
            message = f"{message}\nMemory: {over}"
        return RehearsalError(f"{self.title}: {message}\nThe end of its log:\n{log}")

    def ended(self, limit: float) -> int:
        """The exit code after SIGTERM to the program that the runtime's command started alone.
        Raises RehearsalError after `limit` seconds."""
        (command,) = psutil.Process(self._process.pid).children()
        for program in command.children():
            program.terminate()
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired as e:
            raise self.failure(f"it did not end within {limit:.0f} s after SIGTERM") from e

    @contextmanager
    def up(self, limit: float, report: ReportStage) -> Iterator[None]:
        """Wait at most `limit` seconds until it is healthy, and measure its memory in the block.
        Raises RehearsalError with its log."""
        with self._memory.sampled(), self._client:
            with report(f"wait for {self.title} at {self._health} (at most {limit:.0f} s)"):
                self._wait(limit)
            yield

    def _wait(self, limit: float) -> None:
        while not self._healthy():
            if (code := self._process.poll()) is not None:
                raise self.failure(f"it ended with exit code {code} before it was ready")
            if time.monotonic() > self.began + limit:
                raise self.failure(f"not ready within {limit:.0f} s at {self._health}")
            time.sleep(_ASKED_AGAIN)
        self.healthy = time.monotonic() - self.began

    def _healthy(self) -> bool:
        try:
            return self._client.get(self._health, timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
