"""Start a program so that it, and whatever it starts, is certain to end with us.

Each runs in a session of its own, behind hosts/leash.py, which ends the whole group as soon as our
end of its standard input closes: after an orderly stop, a failure, or kill -9 of this very process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LEASH = Path(__file__).parent / "hosts" / "leash.py"
_GRACE = 5.0  # seconds between asking a group to end and ending it


@contextmanager
def running(
    command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` for as long as the block; its output goes to `log`. The process is a group
    leader of its own."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-ES", str(_LEASH), *map(str, command)],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    limit: float = 1800.0,
) -> int:
    """Run `command` to its end and return its exit code. Raises subprocess.TimeoutExpired after
    `limit` seconds."""
    with running(command, env=env, cwd=cwd, log=log) as process:
        return process.wait(timeout=limit)


def members(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The live processes of the group that `process` leads, without the leash itself; orphans of
    its children too."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if pid != process.pid and os.getpgid(pid) == process.pid:
                member = psutil.Process(pid)
                if member.status() != psutil.STATUS_ZOMBIE:
                    found.append(member)
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        _signal(process, signal.SIGTERM)
        _wait_until_gone(process)
    finally:  # also when a second Ctrl-C comes while waiting
        _signal(process, signal.SIGKILL)
        # death takes a moment, and the folder that they write to is removed next
        _wait_until_gone(process)
        if process.stdin:
            process.stdin.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_until_gone(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and (process.poll() is None or members(process)):
        time.sleep(0.05)
