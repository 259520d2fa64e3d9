"""A lease's place in memory, with a clock that a test moves: what each cloud's own must do."""

from __future__ import annotations

import threading

from onnxferry.infra.lease import Stored


class MemoryStore:
    """`now` is the server's clock, in seconds."""

    def __init__(self) -> None:
        self.now, self.text, self.count, self.written = 0.0, "", 0, 0.0
        self.refused = 0
        self._lock = threading.Lock()

    def read(self) -> Stored | None:
        """See LeaseStore."""
        with self._lock:
            if not self.count:
                return None
            return Stored(self.text, str(self.count), self.now - self.written)

    def write(self, text: str, etag: str) -> str | None:
        """See LeaseStore."""
        with self._lock:
            if etag != (str(self.count) if self.count else ""):
                self.refused += 1
                return None
            self.text, self.written = text, self.now
            self.count += 1
            return str(self.count)
