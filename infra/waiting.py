"""Wait for a cloud: every wait has a limit, says what it waits for, and can be tested without
waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.infra.errors import TimedOut
from onnxferry.system.console import Progress
from onnxferry.system.exits import program


@dataclass(frozen=True)
class Clock:
    """Seconds, how they pass, and how many lie between two questions. Tests give one that does not
    wait."""

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
            raise TimedOut(
                f"{what}: still {last} after {waited:.0f} s, the limit of this wait. The cloud may"
                f" yet complete it: look with {program('status')}, raise wait_minutes in"
                " deploy.toml, and run the same command again"
            )
        progress(f"{last}, {waited:.0f} s of at most {limit:.0f} s")
        clock.sleep(clock.interval)
