"""What an endpoint's requests of late were like, by what its cloud counts: shared words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.errors import CloudError, NotAllowed

LAST_HOUR = "last hour"


@dataclass(frozen=True)
class RequestMetrics:
    """Of one hour, or another time: how many `requests` came, how many were refused (answers 4xx)
    and failed (5xx), and the latency in ms, of the model or of the whole request, as the cloud
    measures it; None where that is not known. `waiting` are
    those in a queue now, None where there is no queue."""

    requests: int
    refused: int = 0
    failed: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    waiting: int | None = None

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield _counted(self.requests, "request")
        if self.requests:
            errors = self.refused + self.failed
            share = f" ({errors / self.requests:.1%})" if errors else ""
            each = f": {self.refused:,} of 4xx, {self.failed:,} of 5xx" if errors else ""
            yield f"{_counted(errors, 'error')}{share}{each}"
        if self.p50_ms is not None and self.p95_ms is not None:
            yield f"latency p50 {self.p50_ms:.4g} ms, p95 {self.p95_ms:.4g} ms"
        if self.waiting is not None:
            yield f"{self.waiting:,} waiting"


def _counted(count: int, what: str) -> str:
    """ "no errors", "1 error", "1,200 errors"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}" if count else f"no {what}s"


def known(read: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What `read` gives of the last hour; where the cloud does not tell, why."""
    try:
        return read()
    except NotAllowed as e:
        return {LAST_HOUR: f"not known: {e.permission or 'a permission'} is missing"}
    except CloudError as e:
        return {LAST_HOUR: f"not known: {e}"}
