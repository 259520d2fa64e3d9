"""Show a log from a moment on, or as it grows, until Ctrl-C."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import click

from onnxferry.infra.cloud import HasLogFeed, HasLogPlaces, OnlineEndpoint
from onnxferry.infra.errors import NotAllowed, Unavailable
from onnxferry.infra.log_feeds import Feed, LogPlace
from onnxferry.infra.waiting import Clock
from onnxferry.system.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"(\d{1,5})([smhd])")
Show = Callable[[str], None]


def moment(text: str, now: datetime) -> datetime:
    """When `text` is: so long before `now` (30s, 15m, 2h, 1d), or a time in ISO 8601, of this
    machine's zone where it names none. Raises UsageError for another text, and for the future."""
    if found := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError) as e:
        expected = "how long ago (30s, 15m, 2h, 1d) or a time like 2026-11-26T18:00"
        raise UsageError(f"--since {text!r}: expected {expected}") from e
    if when > now:
        raise UsageError(f"--since {text!r}: that is in the future; it is {now:%Y-%m-%dT%H:%M} UTC")
    return when


def feed_of(endpoint: OnlineEndpoint, target: str, lines: int, since: datetime | None) -> Feed:
    """The endpoint's feed: the last `lines` first, or all of them `since` then. Raises UsageError
    for a target without one."""
    if not isinstance(endpoint, HasLogFeed):
        raise UsageError(f"--follow and --since: target {target} has no such logs; leave them out")
    return endpoint.log_feed(lines, since)


def placed(endpoint: OnlineEndpoint, target: str, place: LogPlace) -> OnlineEndpoint:
    """The endpoint, whose log is that of `place`. Raises UsageError for a target with one log."""
    if place == LogPlace():
        return endpoint
    if not isinstance(endpoint, HasLogPlaces):
        said = f"target {target} has one log for all; leave them out"
        raise UsageError(f"--container and --deployment: {said}")
    return endpoint.at(place)


def once(feed: Feed) -> str:
    """What `feed` gives now; without the permission to read it, a line that says so. Raises
    CloudError."""
    try:
        return "\n".join(feed())
    except NotAllowed as e:
        return f"(the log cannot be read: {e})"


def as_text(line: str) -> None:
    """Print `line` as it is."""
    click.echo(line)


def as_json(line: str) -> None:
    """Print `line` as a JSON text of its own."""
    click.echo(json.dumps({"line": line}))


def follow(feed: Feed, show: Show, clock: Clock = Clock(interval=2.0)) -> None:
    """Show what `feed` gives until Ctrl-C, which ends it without an error. Where the cloud cannot
    be reached for a while, it says so once and goes on. Raises what else the feed raises."""
    troubled = ""
    try:
        while True:
            try:
                for line in feed():
                    show(line)
                troubled = ""
            except Unavailable as e:
                if not troubled:
                    click.secho(f"note: {e}; asking again", fg="yellow", err=True)
                troubled = str(e)
            clock.sleep(clock.interval)
    except KeyboardInterrupt:
        return
