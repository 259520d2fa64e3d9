"""How much memory the processes that serve take together, at their peak."""

from __future__ import annotations

import subprocess
import threading
from contextlib import suppress
from types import TracebackType

import psutil  # type: ignore[import-untyped]

from onnxferry.scripts.rehearse.processes import members

_EVERY = 0.2  # seconds between samples


class Memory:
    """Samples a process group while the block runs. Memory that processes share is counted once for
    each."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def peak_mib(self) -> float:
        """The peak of the summed resident memory so far, in MiB."""
        self._sample()
        return self._peak / 2**20

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self._sample()

    def _sample(self) -> None:
        total = 0
        for member in members(self._process):
            with suppress(psutil.Error):
                total += member.memory_info().rss
        self._peak = max(self._peak, total)
