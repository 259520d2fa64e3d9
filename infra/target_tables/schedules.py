"""When scheduled actions run: at(...), rate(...) or cron(...), as Application Auto Scaling takes
them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_TIME = "%Y-%m-%dT%H:%M:%S"
_FIELD = r"[0-9A-Za-z*?,/#-]+"


def _at(inner: str) -> str:
    try:
        datetime.strptime(inner, _TIME)
    except ValueError:
        return "at(...) takes a time like at(2026-12-24T18:00:00)"
    return ""


def _rate(inner: str) -> str:
    if re.fullmatch(r"1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days)", inner):
        return ""
    return "rate(...) takes a number and minutes, hours or days, like rate(12 hours)"


def _cron(inner: str) -> str:
    fields = inner.split()
    if len(fields) != 6 or not all(re.fullmatch(_FIELD, field) for field in fields):
        return (
            "cron(...) takes six fields (minutes, hours, day of month, month, day of week, year),"
            " like cron(0 7 ? * MON-FRI *)"
        )
    if (fields[2] == "?") == (fields[4] == "?"):
        return "cron(...) takes ? for either the day of the month or the day of the week"
    return ""


_KINDS: Mapping[str, Callable[[str], str]] = {"at": _at, "rate": _rate, "cron": _cron}


def wrong_schedule(at: str) -> str:
    """What is wrong with a schedule, "" if nothing."""
    kind, _, inner = at.rstrip(")").partition("(")
    return _KINDS[kind](inner)


def wrong_timezone(name: str) -> str:
    """What is wrong with the name of a time zone, "" if nothing, or where this machine knows
    none."""
    known = available_timezones()
    return "" if not known or name in known else f"no time zone is named {name!r}"


def is_over(at: str, zone: str, now: str) -> bool:
    """Whether a schedule is a time before `now` (ISO 8601, "" if that is not known)."""
    kind, _, inner = at.rstrip(")").partition("(")
    if kind != "at" or not now:
        return False
    then = datetime.strptime(inner, _TIME).replace(tzinfo=_zone(zone))
    return then <= datetime.fromisoformat(now)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # a machine without a table of time zones
        return timezone.utc
