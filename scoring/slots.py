"""How many work at a time, where requests share no run (run_queue.py): pictures and arrays, which
take memory by each caller else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from onnxferry.scoring import timing


class Slots:
    """So many at a time, in each process. Safe in several threads."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._renew()

    def _renew(self) -> None:
        self._free, self._process = threading.Semaphore(self._count), os.getpid()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a slot, and hold it for the block."""
        if self._process != os.getpid():  # forked: the parent's threads give none back
            self._renew()
        free = self._free
        with timing.stage("queue"):
            free.acquire()
        try:
            yield
        finally:
            free.release()
