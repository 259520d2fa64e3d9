"""A process that is killed in the middle of its work, for the tests of what such a run leaves
behind."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Protocol


class Killer(Protocol):
    """A fake's faults: whom to kill when the time comes."""

    pid: int | None


def killed(work: Callable[[], object], by: Killer) -> bool:
    """Do `work` in a copy of this process, whose id `by` is told before; whether it was killed, and
    did not end."""
    hold, release = os.pipe()
    if (child := os.fork()) == 0:
        gc.disable()  # what other threads held cannot be collected after a fork
        os.read(hold, 1)
        try:
            work()
        finally:
            os._exit(0)
    by.pid = child
    os.write(release, b"!")
    _, status = os.waitpid(child, 0)
    os.close(hold)
    os.close(release)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
