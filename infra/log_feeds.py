"""What a log has that was not shown yet, however a cloud gives its logs: a feed is asked again and
again, and gives the new lines, oldest first.

A cloud that gives entries with times is asked for those of a window that moves on, since late ones
come between those that were shown. One that gives only the end of a text is compared with what it
gave before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Feed = Callable[[], Sequence[str]]  # the lines since the last call; raises CloudError
Entry = tuple[Hashable, str]  # what tells an entry from others, and its text


@dataclass(frozen=True)
class LogPlace:
    """Whose log is asked for: a container of a deployment; "" is the usual one."""

    container: str = ""
    deployment: str = ""


@dataclass
class NewEntries:
    """A feed of `read`, which gives the entries of a window that moves on; those of equal keys are
    as many as they are. At first it is the last `first` of them, or all where that is None."""

    read: Callable[[], Sequence[Entry]]
    first: int | None = None
    _before: frozenset[Hashable] = field(default=frozenset(), init=False)
    _last: frozenset[Hashable] = field(default=frozenset(), init=False)

    def __call__(self) -> Sequence[str]:
        """The lines of the entries that the two calls before did not give: one window may lack
        what the one before it had."""
        found = list(_numbered(self.read()))
        known = self._before | self._last
        self._before, self._last = self._last, frozenset(key for key, _ in found)
        new = [text for key, text in found if key not in known]
        shown, self.first = new if self.first is None else new[-self.first :], None
        return _lines(shown)


@dataclass
class Continued:
    """A feed of `read`, which gives the end of a text that grows, as lines; at first of the last
    `lines`."""

    read: Callable[[], Sequence[str]]
    lines: int
    _shown: Sequence[str] | None = field(default=None, init=False)

    def __call__(self) -> Sequence[str]:
        """The lines after those of the last call; all of them where the text has begun anew."""
        before, self._shown = self._shown, list(self.read())
        if before is None:
            return self._shown[-self.lines :]
        return self._shown[_overlap(before, self._shown) :]


def _overlap(before: Sequence[str], now: Sequence[str]) -> int:
    """How many lines `now` begins with that `before` ends with."""
    lengths = range(min(len(before), len(now)), 0, -1)
    return next((n for n in lengths if before[-n:] == now[:n]), 0)


def _numbered(entries: Iterable[Entry]) -> Iterator[Entry]:
    counts: Counter[Hashable] = Counter()
    for key, text in entries:
        counts[key] += 1
        yield (key, counts[key]), text


def _lines(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (text.splitlines() or [""])]
