"""A lease on an endpoint: of two runs at once, one works, and the other is told whose turn it is.

It is a JSON document beside the endpoint's packages, written only where nobody else has written
meanwhile. Whoever holds it writes it again and again; one that was not written for a while has
expired, and may be taken. Its age is told by the server's clock, since two machines' may differ.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from onnxferry.infra.errors import CloudError, LeaseHeld, LeaseLost, NotFound

SECONDS = 90.0  # that a lease holds after it was last written
_TRIES = 5  # times that another may be quicker, before this run gives up


@dataclass(frozen=True)
class Stored:
    """A lease's document; `etag` changes with each writing, `age` is in seconds since then, by the
    server's clock."""

    text: str
    etag: str
    age: float


class LeaseStore(Protocol):
    """Where a cloud keeps one endpoint's lease. Both raise NotFound where that place (bucket,
    container) is not there, and CloudError. A deletion removes the document in its last step."""

    def read(self) -> Stored | None:
        """The document; None where there is none."""

    def write(self, text: str, etag: str) -> str | None:
        """Write where `etag` is still there, or nothing if it is "". The new etag; None where
        another was quicker."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, what for and since when; "" as `name` is nobody. `renewed` counts, so that
    no two documents are alike."""

    name: str
    purpose: str = ""
    since: str = ""
    seconds: float = SECONDS
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    renewed: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({self.purpose}, since {self.since})"


def this_run(purpose: str, seconds: float = SECONDS) -> Holder:
    """This process, as a holder."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown user"
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Holder(f"{user}@{platform.node()}, process {os.getpid()}", purpose, now, seconds)


class Lease:
    """A lease that `holder` has. A thread renews it until `release`."""

    def __init__(self, store: LeaseStore, holder: Holder, etag: str) -> None:
        self._store, self._holder, self._etag = store, holder, etag
        self._written = time.monotonic()
        self._over, self._taken = threading.Event(), False
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLost where it is no longer this run's."""
        silent = time.monotonic() - self._written
        if self._taken:
            raise LeaseLost(f"{_found(self._store)} has taken the lease on this endpoint{_STOPPED}")
        if silent > self._holder.seconds:
            said = f"the lease on this endpoint was not renewed for {silent:.0f} s"
            raise LeaseLost(f"{said}, and another run may have taken it{_STOPPED}")

    def release(self) -> None:
        """Let the next run have it. A document that is gone, or another's, is left alone."""
        self._over.set()
        self._thread.join()
        with suppress(CloudError):
            self._store.write(_text(Holder("", run=self._holder.run)), self._etag)

    def _renew(self) -> None:
        count = 0
        while not self._taken and not self._over.wait(self._holder.seconds / 3):
            count += 1
            began = time.monotonic()
            try:
                etag = self._store.write(_text(self._holder, count), self._etag)
            except CloudError:
                continue  # as long as it has not expired, it may yet be renewed
            self._taken = etag is None
            if etag is not None:
                self._etag, self._written = etag, began


_STOPPED = ". Nothing more was changed, nor put back: the other run goes on from what is there"


@contextmanager
def held(
    place: Callable[[], LeaseStore],
    holder: Holder,
    warn: Callable[[str], None],
    *,
    force: bool = False,
) -> Iterator[Callable[[], None]]:
    """Hold the lease at `place` during the block, which calls what it gets before each change.

    `force` takes it from whoever has it, and says so by `warn`. Where its place is absent, so is
    all that it would guard. Raises LeaseHeld, and LeaseLost from the check.
    """
    lease = None
    with suppress(NotFound):
        store = place()
        lease = Lease(store, holder, _taken(store, holder, warn, force=force))
    try:
        yield lease.check if lease else lambda: None
    finally:
        if lease:
            lease.release()


def at_work(place: Callable[[], LeaseStore]) -> str:
    """Who holds the lease at `place`, in words; "" where nobody does, or where it may not be
    read."""
    try:
        there = place().read()
    except CloudError:
        return ""
    other = _holder_in(there)
    return str(other) if there and other and _holds(other, there) else ""


def _taken(store: LeaseStore, holder: Holder, warn: Callable[[str], None], *, force: bool) -> str:
    """Write the document where that is allowed; its etag."""
    for _ in range(_TRIES):
        there = store.read()
        other = _holder_in(there)
        if there and other and _holds(other, there):
            if not force:
                raise LeaseHeld(_refusal(other, there))
            warn(f"warning: the lease is taken from {other}, which may still be at work")
        if etag := store.write(_text(holder), there.etag if there else ""):
            return etag
    raise LeaseHeld(f"{_found(store)} was quicker {_TRIES} times; run again later")


def _refusal(other: Holder, there: Stored) -> str:
    left = max(1.0, other.seconds - there.age)
    return (
        f"{other} works at this endpoint; nothing is done. Its lease was renewed {there.age:.0f} s"
        f" ago. Wait for its end, and run again; if it is dead, the lease expires in {left:.0f} s."
        " --force takes it now"
    )


def _found(store: LeaseStore) -> str:
    try:
        return str(_holder_in(store.read()) or "another run")
    except CloudError:
        return "another run"


def _holds(holder: Holder, there: Stored) -> bool:
    return bool(holder.name) and there.age <= holder.seconds


def _holder_in(there: Stored | None) -> Holder | None:
    """Who is named in a document; None for one that says nothing."""
    try:
        return Holder(**json.loads(there.text)) if there else None
    except (ValueError, TypeError):
        return None


def _text(holder: Holder, renewed: int = 0) -> str:
    return json.dumps({**asdict(holder), "renewed": renewed})
