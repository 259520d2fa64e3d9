"""Start a program so that it, and whatever it starts, is certain to end with us.

Each runs in a session of its own, behind hosts/supervisor.py, which ends the group when our end of
its standard input closes: after an orderly stop, a failure, or kill -9 of this process.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LOG = logging.getLogger(__name__)
_SUPERVISOR = Path(__file__).parent / "hosts" / "supervisor.py"


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    grace: float = 5.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` for as long as the block; its output goes to `log`. The process is a group
    leader. `grace` is the time in seconds between asking the group to end and killing it."""
    _LOG.debug("run %s", " ".join(map(str, command)))
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-ES", str(_SUPERVISOR), *map(str, command)],
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
        _end(process, grace)


def members(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The live processes of the group that `process` leads, without the supervisor itself; orphans
    of its children too."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if pid != process.pid and os.getpgid(pid) == process.pid:
                member = psutil.Process(pid)
                if member.status() != psutil.STATUS_ZOMBIE:
                    found.append(member)
    return found


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    try:
        _signal(process, signal.SIGTERM)
        _wait_until_gone(process, grace)
    finally:  # also when a second Ctrl-C comes while waiting
        _signal(process, signal.SIGKILL)
        # death takes a moment, and the folder that they write to is removed next
        _wait_until_gone(process, grace)
        if process.stdin:
            process.stdin.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wait_until_gone(process: subprocess.Popen[bytes], limit: float) -> None:
    until = time.monotonic() + limit
    while time.monotonic() < until and (process.poll() is None or members(process)):
        time.sleep(0.05)
