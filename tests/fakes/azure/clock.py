"""The cloud's own clock, by which it dates its answers, its blobs, its tokens and its leases."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate


@dataclass
class ServerClock:
    """`ahead` are the seconds by which it is before this machine's clock: a difference between the
    two, or time that a test lets pass."""

    ahead: float = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead

    def date(self, at: float | None = None) -> str:
        """As HTTP writes it; `at` is now by default."""
        return formatdate(self.now() if at is None else at, usegmt=True)
