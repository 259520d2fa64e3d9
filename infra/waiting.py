"""Wait for a cloud, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.infra.errors import TimedOut
from onnxferry.system.console import Progress
from onnxferry.system.exits import program


@dataclass(frozen=True)
class Clock:
    """The time in seconds, how it passes, and the interval between two questions. A test's own
    does not wait."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    interval: float = 5.0


def wait(
    what: str, state: Callable[[], str | None], limit: float, progress: Progress, clock: Clock
) -> None:
    """Ask `state` again and again until it gives None; its text says what is still waited for.

    `state` raises for a failure. Raises TimedOut after `limit` seconds, with the last text.
    """
    began = clock.now()
    while (last := state()) is not None:
        waited = clock.now() - began
        if waited > limit:
            advice = f"look: {program('status')}; or raise wait_minutes and run the command again"
            late = f"still {last} after {waited:.0f} s; the cloud may yet complete it"
            raise TimedOut(f"{what}: {late}: {advice}")
        progress(f"{last}, {waited:.0f} s of at most {limit:.0f} s")
        clock.sleep(clock.interval)
