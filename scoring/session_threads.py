"""Where the threads that a session has of its own may run: not on the CPU of the thread whose run
they help, which would wait for them while they wait for its CPU. Linux often wakes them there
after a pause: a short text at 50 ms from the last took 10 to 12 ms, and takes 7."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")  # Linux


class SessionThreads:
    """So many threads. Nothing is placed where it is not certain which they are, as on systems
    other than Linux."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ids: frozenset[int] = frozenset()
        self._cpus: frozenset[int] = frozenset()
        self._avoided = -1

    @contextmanager
    def started(self) -> Iterator[None]:
        """Around what starts them."""
        before = _threads()
        yield
        found = _threads() - before
        if self._count and len(found) == self._count:  # else others started meanwhile
            self._ids, self._cpus = found, frozenset(os.sched_getaffinity(0))
            self._cpu = ctypes.CDLL(None).sched_getcpu

    def avoid_this_cpu(self) -> None:
        """Keep them off the CPU that the calling thread is on, if there are others enough."""
        if len(self._ids) < len(self._cpus) and (here := self._cpu()) != self._avoided:
            self._avoided = here
            for thread in self._ids:
                with suppress(OSError):  # it has ended
                    os.sched_setaffinity(thread, self._cpus - {here})


def _threads() -> frozenset[int]:
    with suppress(OSError):
        return frozenset(int(task.name) for task in _TASKS.iterdir())
    return frozenset()
