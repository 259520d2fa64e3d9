"""Logs that grow: what is new is shown once, in order, however the cloud gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

import pytest

from onnxferry.infra.errors import NotAllowed, Unavailable
from onnxferry.infra.log_feeds import Continued, Entry, NewEntries
from onnxferry.infra.log_following import as_json, as_text, feed_of, follow, moment
from onnxferry.infra.waiting import Clock
from onnxferry.system.errors import UsageError
from tests.imaginary_target import MoonCloud

NOW = datetime(2026, 11, 26, 18, tzinfo=timezone.utc)


def test_entries_are_shown_once_and_late_ones_too() -> None:
    windows: Iterator[Sequence[Entry]] = iter(
        [
            [(1, "one"), (2, "two"), (2, "two")],
            [(1, "one"), (2, "two"), (2, "two"), (2, "two"), (1.5, "late")],
            [],  # a store that is behind for a moment
            [(2, "two"), (2, "two"), (2, "two"), (3, "three\nand more")],
        ]
    )
    feed = NewEntries(lambda: next(windows), 2)
    assert feed() == ["two", "two"]
    assert feed() == ["two", "late"]
    assert feed() == []
    assert feed() == ["three", "and more"]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["a b c", "a b c d"], ["b c", "d"]),
        (["a b c", "b c d e"], ["b c", "d e"]),
        (["a b c", "a b c"], ["b c", ""]),
        (["a b c", "x y"], ["b c", "x y"]),  # a new container
        (["", "a"], ["", "a"]),
        (["a a a", "a a a a a"], ["a a", "a a"]),
    ],
)
def test_a_text_that_grows(texts: list[str], shown: list[str]) -> None:
    given = iter([text.split() for text in texts])
    feed = Continued(lambda: next(given), 2)
    assert [" ".join(feed()) for _ in shown] == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
        ("2026-11-26T17:30:00Z", NOW - timedelta(minutes=30)),
        ("2026-11-26T18:30:00+01:00", NOW - timedelta(minutes=30)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "15", "m", "-1h", "2026-13-01", "1w"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match=r"--since .*: expected how long ago \(30s, 15m"):
        moment(text, NOW)


def test_the_future_is_refused() -> None:
    with pytest.raises(UsageError, match=r"in the future; it is 2026-11-26T18:00 UTC"):
        moment("2026-11-26T18:01:00Z", NOW)


class _Looks:
    """A feed, and a clock whose last sleep somebody ends by Ctrl-C."""

    def __init__(self, *looks: Sequence[str] | Exception) -> None:
        self.looks, self.slept = list(looks), list[float]()

    def feed(self) -> Sequence[str]:
        found = self.looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.looks:
            raise KeyboardInterrupt

    @property
    def clock(self) -> Clock:
        return Clock(lambda: 0.0, self.sleep, 7.0)


def test_following_ends_by_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    looks = _Looks(["one", "two"], [], ["three"])
    follow(looks.feed, as_text, looks.clock)
    assert capsys.readouterr() == ("one\ntwo\nthree\n", "")
    assert looks.slept == [7.0, 7.0, 7.0]


def test_following_goes_on_when_the_cloud_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    away = Unavailable("AWS: throttled")
    looks = _Looks(["one"], away, away, ['say "two"'], away, [])
    follow(looks.feed, as_json, looks.clock)
    said, told = capsys.readouterr()
    assert [json.loads(line) for line in said.splitlines()] == [
        {"line": "one"},
        {"line": 'say "two"'},
    ]
    assert told == "note: AWS: throttled; asking again\n" * 2


def test_what_asking_again_does_not_help_ends_it() -> None:
    with pytest.raises(NotAllowed):
        follow(_Looks(NotAllowed("no")).feed, as_text, Clock())


def test_a_target_without_such_logs_says_so() -> None:
    with pytest.raises(UsageError, match="target moon has no such logs; leave them out"):
        feed_of(MoonCloud("Tycho"), "moon", 10, None)  # type: ignore[arg-type]
