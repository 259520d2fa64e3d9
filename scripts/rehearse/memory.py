"""How much memory the processes that serve take together, at their peak."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil  # type: ignore[import-untyped]

from onnxferry.scripts.rehearse.processes import members

_EVERY = 0.2  # seconds between samples


class PeakMemory:
    """The largest sum so far of a process group's resident memory, in bytes; shared memory counts
    for each."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
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
            while not stop.wait(_EVERY):
                self.sample()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
