"""Schedules as Azure Monitor has them: days of the week, one time of the day, and the name of a
time zone as Windows has it. They are written as cron(...), as for the other clouds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NAMES = {day[:3].upper(): i for i, day in enumerate(DAYS)}
_NUMBERS = {str(i + 1): i for i in range(7)}  # cron's 1 is Sunday
_DAY = {**_NAMES, **_NUMBERS}
_WRITE = "write when it begins as cron(MINUTES HOURS ? * DAYS *), like cron(0 8 ? * MON-FRI *)"


@dataclass(frozen=True)
class Weekly:
    """Each week on `days`, at `hour`:`minute`."""

    days: tuple[str, ...]
    hour: int
    minute: int


def weekly(at: str) -> tuple[Weekly, ...]:
    """The times that a schedule names. Raises ValueError, with what to write instead, for one that
    is not weekly."""
    kind, _, inner = at.rstrip(")").partition("(")
    if kind != "cron":
        raise ValueError(f"Azure Monitor has weekly times alone, not {kind}(...): {_WRITE}")
    minutes, hours, in_month, month, in_week, year = inner.split()
    if in_month not in ("?", "*") or month != "*" or year != "*":
        raise ValueError(f"Azure Monitor has no day of the month, month or year: {_WRITE}")
    days = _days(in_week)
    times = ((h, m) for h in _numbers(hours, 24) for m in _numbers(minutes, 60))
    return tuple(Weekly(days, hour, minute) for hour, minute in times)


def windows_zone(name: str) -> str:
    """The name of a time zone that Windows, and so Azure Monitor, has for `name`. Raises ValueError
    for one that has none."""
    found = _windows_zones().get(name)
    if not found:
        raise ValueError(
            f"Azure Monitor has no time zone for {name!r}: name a city of the same time, like"
            " Europe/Berlin, or UTC"
        )
    return found


def _windows_zones() -> Mapping[str, str]:
    from tzlocal.windows_tz import tz_win  # of the extra "azure"

    return tz_win


def _days(text: str) -> tuple[str, ...]:
    if text in ("?", "*"):
        return DAYS
    found = {day for part in text.upper().split(",") for day in _range(part)}
    return tuple(day for i, day in enumerate(DAYS) if i in found)


def _range(part: str) -> Iterator[int]:
    """The days of "MON-FRI", which may go over the week's end, or of "MON"."""
    first, _, last = part.partition("-")
    if first not in _DAY or (last or first) not in _DAY:
        raise ValueError(f"days of the week are names or ranges of them, not {part!r}: {_WRITE}")
    begin, end = _DAY[first], _DAY[last or first]
    yield from (i % 7 for i in range(begin, end + (7 if end < begin else 0) + 1))


def _numbers(text: str, limit: int) -> list[int]:
    if not re.fullmatch(r"\d{1,2}(,\d{1,2})*", text) or max(map(int, text.split(","))) >= limit:
        raise ValueError(f"minutes and hours are numbers (0 or 0,30), not {text!r}: {_WRITE}")
    return sorted(set(map(int, text.split(","))))
