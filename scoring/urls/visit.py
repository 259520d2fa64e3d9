"""One picture's way: its URL is read, its host's name looked up, the address asked; and again
wherever it redirects."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.scoring.errors import FetchFailed, ScoringError
from onnxferry.scoring.urls import resolution
from onnxferry.scoring.urls.addresses import is_public
from onnxferry.scoring.urls.connection import Answer, Connection, Unreachable
from onnxferry.scoring.urls.location import Location
from onnxferry.scoring.urls.policy import Policy
from onnxferry.scoring.urls.resolution import Resolver

AFTER = 5  # seconds that a wait would go on, if it were not cut


@dataclass(frozen=True)
class Network:
    """What is reached: by which names, which addresses, and whose certificates are believed."""

    resolver: Resolver = resolution.system
    check: Callable[[str], bool] = is_public
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context


class Visit:
    """Fetches until `ends` (time.monotonic()) at the latest, if it is `cut` then."""

    def __init__(self, policy: Policy, network: Network, ends: float) -> None:
        self._policy, self._network, self._ends = policy, network, ends
        self._connection: Connection | None = None
        self._cut = False

    def cut(self) -> None:
        """From another thread: what is connected is no more, and nothing else will be."""
        self._cut = True
        if self._connection:
            self._connection.cut()

    def picture(self, url: str, most: int) -> bytes:
        """At most `most` bytes. Raises ScoringError, with the host and no more of the URL."""
        at = Location.parse(url, self._policy)
        try:
            return self._followed(at, most)
        except ScoringError as e:
            kind = FetchFailed if isinstance(e, Unreachable) else type(e)
            raise kind(f"the picture at {at.host} was not fetched: {e}") from e

    def _followed(self, at: Location, most: int) -> bytes:
        for _ in range(self._policy.redirects + 1):
            answer = self._answer(at, most)
            if answer.redirect is None:
                return answer.body
            at = self._next(at, answer.redirect)
        raise FetchFailed(f"it redirects more than {self._policy.redirects} times")

    def _next(self, at: Location, redirect: str) -> Location:
        try:
            return at.redirected(redirect, self._policy)
        except ScoringError as e:
            raise type(e)(f"it redirects, and {e}") from e

    def _answer(self, at: Location, most: int) -> Answer:
        """Of the first address that answers."""
        resolver, check = self._network.resolver, self._network.check
        addresses = resolution.public(at.host, at.port, resolver, check)
        refusals = []
        for i, address in enumerate(addresses):
            try:
                return self._asked(at, address, most, share=len(addresses) - i)
            except Unreachable as e:  # noqa: PERF203
                refusals.append(e)
        raise refusals[-1]

    def _asked(self, at: Location, address: str, most: int, share: int) -> Answer:
        connection = self._connection = Connection(at, address, self._network.context())
        if self._cut:
            raise FetchFailed("it took too long")
        long = self._policy.seconds + AFTER
        left = max(0.01, self._ends - time.monotonic())
        try:
            connection.open(left / share if share > 1 else long)
            return connection.get(most, long)
        finally:
            connection.close()
