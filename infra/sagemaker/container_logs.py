"""What the containers of an endpoint printed, in CloudWatch Logs: its end, and what comes after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.log_feeds import Entry, Feed, NewEntries
from onnxferry.infra.sagemaker.names import log_group

_LATE_MS = 60_000  # how much later than others an event may be found
Event = tuple[int, str, str]  # when (ms since 1970), the log stream, and what it says


def tail(clients: AwsClients, name: str, lines: int = 30) -> str:
    """The last lines of an endpoint's log, or why there are none."""
    group = log_group(name)
    try:
        events = _last(clients, group, lines)
    except NotFound:
        return f"(no log group {group}: no container has printed anything)"
    except CloudError as e:
        return f"(the log cannot be read: {e})"
    return "\n".join(message.rstrip() for _, _, message in events)


def feed(clients: AwsClients, name: str, lines: int, since: datetime | None) -> Feed:
    """See HasLogFeed."""
    start = None if since is None else int(since.timestamp() * 1000)
    return NewEntries(_Window(clients, log_group(name), lines, start))


@dataclass
class _Window:
    """Reads the last `lines`, then what is in the group from `start` on, which moves on with what
    was found."""

    clients: AwsClients
    group: str
    lines: int
    start: int | None
    _floor: int = field(default=0, init=False)

    def __call__(self) -> Sequence[Entry]:
        try:
            found = self._read()
        except NotFound:  # no container has printed anything yet
            found = []
        first, self.start = self.start is None, self.start or 0
        if found:
            self._floor = max(self._floor, found[0][0] + 1 if first else self.start)
            self.start = max(self._floor, found[-1][0] - _LATE_MS)
        return [((when, stream, said), said.rstrip()) for when, stream, said in found]

    def _read(self) -> list[Event]:
        if self.start is None:
            return _last(self.clients, self.group, self.lines)
        asked = {"logGroupName": self.group, "startTime": self.start}
        listed = ("logs", "filter_log_events", "events", f"log group {self.group}")
        found = self.clients.pages(*listed, **asked)
        events = ((e["timestamp"], e.get("logStreamName", ""), e.get("message", "")) for e in found)
        return sorted(events, key=_when)


def _last(clients: AwsClients, group: str, lines: int) -> list[Event]:
    return sorted(_events(clients, group, lines), key=_when)[-lines:]


def _when(event: Event) -> int:
    return event[0]


def _events(clients: AwsClients, group: str, lines: int) -> Iterator[Event]:
    """The last events of each of the five containers that wrote last."""
    of_group = {"logGroupName": group}
    newest = {"orderBy": "LastEventTime", "descending": True, "limit": 5, **of_group}
    last = {"limit": min(lines, 10_000), "startFromHead": False, **of_group}
    streams = clients.call("logs", "describe_log_streams", f"log group {group}", **newest)
    for stream in (found["logStreamName"] for found in streams["logStreams"]):
        where = f"log stream {group} {stream}"
        found = clients.call("logs", "get_log_events", where, logStreamName=stream, **last)
        yield from ((event["timestamp"], stream, event["message"]) for event in found["events"])
