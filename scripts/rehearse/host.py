"""start(package): the package in its platform's hosting runtime, up for as long as the block runs.

All that it makes is in one temporary folder and one process group, and gone when the block ends,
however it ends.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from onnxferry.scoring.wire import Request
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse import environments
from onnxferry.scripts.rehearse.environments import Report
from onnxferry.scripts.rehearse.golden_check import Reply
from onnxferry.scripts.rehearse.memory import Memory
from onnxferry.scripts.rehearse.processes import running
from onnxferry.scripts.rehearse.pythons import find_python
from onnxferry.scripts.rehearse.runtime import HOSTS, Layout, Runtime
from onnxferry.system.cache import cache_folder
from onnxferry.system.console import stage
from onnxferry.system.errors import RehearsalError
from onnxferry.system.signals import interruptible
from onnxferry.targets import TARGETS, load

START_LIMIT = 120.0  # seconds to the first healthy answer
ANSWER_LIMIT = 60.0  # seconds for one answer: SageMaker's limit for a real-time endpoint
_KEPT = ("PATH", "LANG", "LC_ALL", "JAVA_HOME")


class Host:
    """A runtime that is up. `url` is where to POST; `model_dir` is the unpacked model directory."""

    def __init__(
        self, runtime: Runtime, layout: Layout, port: int, process: subprocess.Popen[bytes]
    ) -> None:
        self.title = runtime.title
        self.url = f"http://127.0.0.1:{port}{runtime.score}"
        self.model_dir = layout.model
        self.start_seconds = 0.0
        self.began = time.monotonic()
        self._health = f"http://127.0.0.1:{port}{runtime.health}"
        self._log = layout.root / "host.log"
        self._process = process
        self._memory = Memory(process)
        self._client = httpx.Client(trust_env=False, timeout=ANSWER_LIMIT)

    def send(self, request: Request) -> Reply:
        """POST one request. Any status is a Reply; RehearsalError only where no answer comes
        within the limit."""
        named = {"Content-Encoding": request.content_encoding, "X-Request-Id": request.id}
        headers = {
            "Content-Type": request.content_type,
            "Accept": request.accept,
            "Accept-Encoding": request.accept_encoding or "identity",
            **{name: value for name, value in named.items() if value},
        }
        began = time.perf_counter()
        try:
            response = self._client.post(self.url, content=request.body, headers=headers)
        except httpx.TimeoutException as e:
            raise self.failure(
                f"{self.url}: no answer within {ANSWER_LIMIT:.0f} s; the model loads or scores too"
                " slowly, or its worker ends again and again"
            ) from e
        except httpx.HTTPError as e:
            raise self.failure(f"{self.url}: the connection broke ({e})") from e
        content_type = response.headers.get("content-type", "")
        return Reply(
            response.status_code, response.content, content_type, time.perf_counter() - began
        )

    def memory_mib(self) -> float:
        """The peak of the resident memory of all processes that serve, summed, in MiB."""
        return self._memory.peak_mib()

    def log_tail(self, lines: int = 80) -> str:
        """The last lines that the runtime printed; enough to show a cause above the server's own
        tracebacks."""
        return "\n".join(
            self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        )

    def failure(self, message: str) -> RehearsalError:
        """An error that says `message` and shows the end of the runtime's log."""
        return RehearsalError(
            f"{self.title}: {message}\nThe end of its log:\n{self.log_tail() or '(empty)'}"
        )

    @contextmanager
    def up(self, limit: float, report: Report) -> Iterator[Host]:
        """Wait until the runtime is healthy, then measure it for as long as the block runs."""
        with self._memory, self._client:
            with report(f"wait for {self.title} at {self._health} (at most {limit:.0f} s)"):
                self._wait(limit)
            yield self

    def _wait(self, limit: float) -> None:
        until = self.began + limit
        while not self._healthy():
            if (code := self._process.poll()) is not None:
                raise self.failure(
                    f"it ended with exit code {code} before it was ready; the log says why"
                )
            if time.monotonic() > until:
                raise self.failure(
                    f"not ready within {limit:.0f} s at {self._health}; give it longer, or see"
                    " the log"
                )
            time.sleep(0.1)
        self.start_seconds = time.monotonic() - self.began

    def _healthy(self) -> bool:
        try:
            return self._client.get(self._health, timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


@contextmanager
def start(
    package: Package,
    *,
    runtime: Runtime | None = None,
    cache: Path | None = None,
    timeout: float = START_LIMIT,
    report: Report = stage,
) -> Iterator[Host]:
    """Unpack `package`, make its environment if `cache` has it not, start its runtime, and yield it
    once it is healthy.

    Raises RehearsalError that says what is missing on this machine, or what the runtime printed
    when it did not start.
    """
    runtime = runtime or _runtime(package)
    runtime.check()
    python = _python(package)
    with (
        interruptible(),
        tempfile.TemporaryDirectory(prefix="onnxferry-", ignore_cleanup_errors=True) as temp,
    ):
        root = Path(temp)
        with report(f"unpack {package.path.name}"):
            layout = runtime.unpack(package, root)
        name = f"{package.target}-{package.python}"
        venv = environments.environment(
            name, python, runtime.installs(layout, package.python), cache or cache_folder(), report
        )
        with _serving(runtime, layout, venv) as host, host.up(timeout, report):
            yield host


@contextmanager
def _serving(runtime: Runtime, layout: Layout, venv: Path) -> Iterator[Host]:
    port = _free_port()
    work, home = layout.root / "work", layout.root / "home"
    work.mkdir()
    home.mkdir()
    command: tuple[str | Path, ...] = (venv / "bin" / "python", HOSTS / runtime.launcher)
    command += runtime.arguments(layout, port)
    env = {**_clean_environment(venv, home), **runtime.environment(layout, port)}
    with running(command, env=env, cwd=work, log=layout.root / "host.log") as process:
        yield Host(runtime, layout, port, process)


def _runtime(package: Package) -> Runtime:
    if package.target not in TARGETS:
        known = ", ".join(TARGETS)
        raise RehearsalError(f"target '{package.target}' has no rehearsal; known: {known}")
    runtime: Runtime = load(TARGETS[package.target].runtime)
    return runtime


def _python(package: Package) -> Path:
    if (found := find_python(package.python)) is None:
        raise RehearsalError(
            f"{package.path} is for Python {package.python}, and this machine has none that can"
            f" make a virtual environment. Install python{package.python}, or build the package for"
            " a version that is here: python -m scripts.package MODEL_DIR --target"
            f" {package.target} --python X.Y"
        )
    return found


def _clean_environment(venv: Path, home: Path) -> dict[str, str]:
    """Little of the user's environment, so that a rehearsal proves the package and not the machine,
    and leaves no trace in the user's folders: HOME and the temporary folder are our own. Nothing
    may come from a model hub."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join((str(venv / "bin"), kept.get("PATH", os.defpath)))
    own = dict.fromkeys(("HOME", "TMPDIR", "TEMP"), str(home))
    return {**kept, **own, "PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    """A free port on loopback, below 32767: the model server of SageMaker takes no other, and above
    it systems hand out ports to clients, one of which could take it before the runtime does."""
    for port in random.sample(range(15000, 32000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RehearsalError(
        "none of 100 ports between 15000 and 32000 is free on 127.0.0.1; end what holds them"
    )
