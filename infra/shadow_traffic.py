"""What two versions answered to the same requests: a version that serves, and a shadow that gets a
copy of its requests and answers nobody. A cloud reads it out of what it captured; comparison.py
compares it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.wire import JSON


@dataclass(frozen=True)
class CapturedAnswer:
    """What a version answered to one request at `time` (ISO 8601). `ids` are the names that the
    cloud has for the request, surest first, "" for one that it has not; `request` is the request's
    sha256 ("" where it was not captured), `items` how many inputs it has (None: one, or unknown)
    and `shown` its start as text. `body` is None where no answer was captured."""

    time: str
    ids: tuple[str, ...] = ()
    request: str = ""
    items: int | None = None
    shown: str = ""
    body: bytes | None = None
    content_type: str = JSON

    @property
    def media_type(self) -> str:
        """The answer's, without parameters."""
        return MediaType.parse(self.content_type).name

    @property
    def keys(self) -> tuple[str, ...]:
        """By what it may be paired with another version's."""
        return tuple(filter(None, (*self.ids, self.request)))


@dataclass(frozen=True)
class VersionTraffic:
    """One version's part; `metrics` are of the last day at most, None where they may not be
    read."""

    name: str
    version: str
    answers: tuple[CapturedAnswer, ...]
    metrics: RequestMetrics | None = None


@dataclass(frozen=True)
class ShadowTraffic:
    """Both, `since` a time (ISO 8601); `where` the endpoint is, for people. `percent` of the
    requests are copied. `notes` say what may be missing."""

    where: str
    since: str
    percent: float
    serving: VersionTraffic
    shadow: VersionTraffic
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Period:
    """From `since` to `until`; and how many answers are read at most."""

    since: datetime | None
    until: datetime
    limit: int


class Timed(Protocol):
    """What has a time, ISO 8601."""

    @property
    def time(self) -> str:
        """When it was answered."""


def first_asked(answers: Iterable[Timed], since: datetime) -> datetime:
    """When the earliest of the requests may have come: a little before it was answered, and not
    before `since`."""
    try:
        at = datetime.fromisoformat(min(one.time for one in answers).replace("Z", "+00:00"))
    except ValueError:  # there is none, or its time is written otherwise
        return since
    return max(since, at - timedelta(minutes=5))


Paired = tuple[CapturedAnswer, CapturedAnswer]


def paired(serving: Iterable[CapturedAnswer], shadow: Iterable[CapturedAnswer]) -> list[Paired]:
    """The answers to each request that both have: by the names that it has on both sides, surest
    first, and else by its bytes. Requests of the same bytes are paired in order of time; which with
    which does not matter, for one version answers them alike."""
    left = sorted(shadow, key=lambda answer: answer.time)
    there = sorted(serving, key=lambda answer: answer.time)
    found: list[Paired] = []
    for key in _keys([*there, *left]):
        pairs = list(_by(key, there, left))
        taken = {id(answer) for pair in pairs for answer in pair}
        there, left = ([a for a in rest if id(a) not in taken] for rest in (there, left))
        found += pairs
    return sorted(found, key=lambda pair: pair[1].time)


def _keys(answers: Iterable[CapturedAnswer]) -> Iterator[Callable[[CapturedAnswer], str]]:
    """What a pair may have in common."""
    most = max((len(answer.ids) for answer in answers), default=0)
    yield from (partial(_id, i) for i in range(most))
    yield lambda answer: answer.request


def _id(i: int, answer: CapturedAnswer) -> str:
    return answer.ids[i] if i < len(answer.ids) else ""


def _by(
    key: Callable[[CapturedAnswer], str],
    there: Iterable[CapturedAnswer],
    left: Iterable[CapturedAnswer],
) -> Iterator[Paired]:
    waiting: dict[str, deque[CapturedAnswer]] = defaultdict(deque)
    for answer in there:
        waiting[key(answer)].append(answer)
    for answer in left:
        if key(answer) and waiting[key(answer)]:
            yield waiting[key(answer)].popleft(), answer
