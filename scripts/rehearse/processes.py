"""Start a program so that it, and whatever it starts, ends with us, even by kill -9: it runs in a
session of its own, behind hosts/supervisor.py."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import psutil  # type: ignore[import-untyped]

_LOG = logging.getLogger(__name__)
_DEATH = 5.0  # seconds after SIGKILL
SUPERVISOR = Path(__file__).parent / "hosts" / "supervisor.py"


@contextmanager
def running(
    command: Sequence[object], *, env: Mapping[str, str], cwd: Path, log: Path, grace: float = 5.0
) -> Iterator[Popen[bytes]]:
    """Run `command`, which may begin with the supervisor's own option, for as long as the block,
    leading a process group that has `grace` seconds to end; its output goes to `log`."""
    words = [sys.executable, "-ES", str(SUPERVISOR), *map(str, command)]
    _LOG.debug("run %s", " ".join(words[3:]))
    with log.open("ab") as sink:
        process = Popen(
            words, env=env, cwd=cwd, stdin=PIPE, stdout=sink, stderr=STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process, grace)


def tail(log: Path, lines: int) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def members(process: Popen[bytes]) -> list[psutil.Process]:
    """The live processes of the group that `process` leads, without itself."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if pid != process.pid and os.getpgid(pid) == process.pid:
                member = psutil.Process(pid)
                if member.status() != psutil.STATUS_ZOMBIE:
                    found.append(member)
    return found


def cpu_seconds(process: Popen[bytes]) -> float:
    """The CPU time that the live processes of the group have taken so far."""
    total = 0.0
    for member in members(process):
        with suppress(psutil.Error):
            times = member.cpu_times()
            total += times.user + times.system
    return total


def _end(process: Popen[bytes], grace: float) -> None:
    try:
        _signal(process, signal.SIGTERM)
        _wait_until_gone(process, grace)
    finally:  # also when a second Ctrl-C comes while waiting
        _signal(process, signal.SIGKILL)
        # death takes a moment, and the folder that they write to is removed next
        _wait_until_gone(process, _DEATH)
        if process.stdin:
            process.stdin.close()


def _signal(process: Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_until_gone(process: Popen[bytes], limit: float) -> None:
    until = time.monotonic() + limit
    while time.monotonic() < until and (process.poll() is None or members(process)):
        time.sleep(0.05)


class PeakMemory:
    """The largest sum so far of a process group's resident memory, in bytes; shared memory counts
    for each."""

    def __init__(self, process: Popen[bytes]) -> None:
        self.bytes = 0
        self._process = process

    def sample(self) -> None:
        """Look once."""
        total = 0
        for member in members(self._process):
            with suppress(psutil.Error):
                total += member.memory_info().rss
        self.bytes = max(self.bytes, total)

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Look five times a second while the block runs."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.2):
                self.sample()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
