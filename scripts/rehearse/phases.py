"""A cold start by phase: what the rehearsal waited for, and what scoring's own line in the host's
log says of it (scoring/loading.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring.loading import LOADED, PHASES


@dataclass(frozen=True)
class StartPhases:
    """Seconds. `healthy`: from the start of the process until the host said so. `imports` and
    `model`, None where the log does not tell, are within it, beside it or after it, as the host
    loads. `first_answer`: of the golden request, with what was left to load when it came."""

    healthy: float
    imports: float | None
    model: float | None
    first_answer: float

    @staticmethod
    def of(healthy: float, first_answer: float, log: str) -> StartPhases:
        """With what the first model's line in a host's log says."""
        told = next(_lines(log), {})
        seconds = {name: ms / 1000 for name, ms in told.items() if name in PHASES}
        imports = seconds.pop("imports", None)
        model = sum(seconds.values()) if seconds else None
        return StartPhases(healthy, imports, model, first_answer)

    def text(self) -> str:
        """For people."""
        told = ((name.replace("_", " "), s) for name, s in vars(self).items() if s is not None)
        return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in told)


def _lines(log: str) -> Iterator[dict[str, Any]]:
    """The milliseconds by phase of each model that was loaded; hosts put words of theirs before a
    line, and after it."""
    start = f'{{"event": "{LOADED}"'
    for line in log.splitlines():
        _, found, rest = line.partition(start)
        with suppress(ValueError):  # two processes wrote at the same moment
            if found:
                yield json.JSONDecoder().raw_decode(start + rest)[0]["ms"]
