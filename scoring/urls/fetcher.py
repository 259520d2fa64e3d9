"""The pictures that a request names by URL, fetched before it waits for a run.

One thread fetches them, and the request's own waits for it as long as the policy says. That holds
whatever is slow: the look-up of a name, the connection, TLS, the answer's head or its body. A
thread that is late is left behind, its connection cut; it ends when the system lets it go.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from onnxferry.scoring import timing
from onnxferry.scoring.codecs import ImageUrl
from onnxferry.scoring.errors import FetchFailed, ScoringError, TooLarge
from onnxferry.scoring.urls.connection import THREAD
from onnxferry.scoring.urls.policy import PREFIX, Policy
from onnxferry.scoring.urls.visit import Network, Visit

LATE = 32  # threads of a process that may be left behind, as in look-ups that do not end
Found: TypeAlias = "dict[str, bytes | ScoringError]"


class Fetcher:
    """Of one host. Safe in several threads. Within one request a URL is fetched once, and all that
    are fetched share the policy's limits, however often this is called."""

    def __init__(self, policy: Policy, network: Network | None = None) -> None:
        network = network or Network()
        context = functools.cache(network.context)  # it reads all certificates of the system
        self._policy = policy
        self._network = Network(network.resolver, network.check, context)

    def pictures(self, urls: Mapping[str, ImageUrl]) -> dict[str, bytes]:
        """The bytes of each of `urls`, by the fields that they came in. Raises ScoringError that
        names the field."""
        found: Found = timing.kept()
        missing = [url for url in dict.fromkeys(u.url for u in urls.values()) if url not in found]
        if len(found) + len(missing) > self._policy.pictures:
            what = f"{len(found) + len(missing)} pictures are named by URL"
            most = f"one request gets at most {self._policy.pictures}"
            raise TooLarge(f"{what}; {most} (a host sets it by {PREFIX}PICTURES)")
        if missing:
            with timing.stage("fetch"):
                found.update(self._fetched(missing, found))
        return {where: _picture(found[u.url], u.where or where) for where, u in urls.items()}

    def _fetched(self, urls: Sequence[str], before: Found) -> Found:
        """`urls`, up to the first that fails, in what is left of the request's limits."""
        seconds = max(0, self._policy.seconds - timing.spent("fetch"))
        most = self._policy.bytes - sum(len(p) for p in before.values() if isinstance(p, bytes))
        visit = Visit(self._policy, self._network, time.monotonic() + seconds)
        thread = _Thread(visit, urls, most)
        if sum(one.late for one in threading.enumerate() if isinstance(one, _Thread)) >= LATE:
            raise FetchFailed("pictures by URL hang here; send their bytes, or try again later")
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            return thread.left(f"the picture was not fetched within {self._policy.seconds} s")
        if thread.defect:
            raise thread.defect
        return thread.found


class _Thread(threading.Thread):
    """Fetches `urls` into `found`, one after another, up to the first that fails."""

    def __init__(self, visit: Visit, urls: Sequence[str], most: int) -> None:
        super().__init__(name=THREAD, daemon=True)
        self.found: Found = {}
        self.late = False
        self.defect: Exception | None = None
        self._visit, self._urls, self._most = visit, urls, most

    def run(self) -> None:
        """See the class."""
        for url in self._urls:
            try:
                picture = self._visit.picture(url, self._most)
            except ScoringError as e:
                self.found[url] = e
                return
            except Exception as e:
                self.defect = e
                return
            self._most -= len(picture)
            self.found[url] = picture

    def left(self, reason: str) -> Found:
        """What it found until now, when nobody waits for more: the next one failed for a reason."""
        self.late = True
        found = {**self.found}  # before what is cut fails for that
        self._visit.cut()
        missing = [url for url in self._urls if url not in found]
        return {**found, missing[0]: FetchFailed(reason)} if missing else found


def _picture(found: bytes | ScoringError, where: str) -> bytes:
    if isinstance(found, ScoringError):
        raise type(found)(f"'{where}': {found}") from found
    return found
