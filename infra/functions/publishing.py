"""Publish a package to an app by One Deploy, and wait for the publication's end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.clients.scm import PublishStatus, Scm
from onnxferry.infra.errors import PublishFailed, TimedOut, Unavailable
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress
from onnxferry.system.exits import program

ROLE_SECONDS = 600.0  # a role that does not hold by then will not
_DONE = 4
_FAILED = {
    3: "failed",
    -1: "was cancelled",
    5: "was superseded by another",
    6: "succeeded only in part",
}
_TRIES = 5  # times that a package is sent whose arrival nobody confirms
# storage's words for a role that is missing, or not known everywhere yet; a firewall's are the same
# without "using this permission"
_NO_ROLE = ("using this permission", "authorizationpermissionmismatch")
_FIREWALL = ("not authorized to perform this operation", "authorizationfailure")
_LONGEST = 24  # intervals between two publications


def is_missing_role(said: str) -> bool:
    """Whether storage refuses for want of a role."""
    return any(sign in said.lower() for sign in _NO_ROLE)


@dataclass
class Publication:
    """One package on its way to one app. `step` gives what it waits for, in words; None is the
    end."""

    scm: Scm
    app: FunctionApp
    package: Path
    progress: Progress
    clock: Clock = Clock()
    _before: str = ""
    _id: str | None = None
    _losses: int = 0
    _refused: int = 0
    _first: float = 0.0
    _again: float = 0.0

    def step(self) -> str | None:
        """Send the package, or ask how far it is."""
        if self.clock.now() < self._again:
            return _ROLE
        return self._send() if self._id is None else self._state()

    def _state(self) -> str | None:
        found = self.scm.latest()
        if found is None:
            return None  # it is gone after it was accepted: done
        if found.id == self._before and found.id != self._id:
            return "accepted, not begun"
        if found.status in _FAILED:
            return self._failed(found)
        return None if found.status == _DONE else f"being published {found.text}".strip()

    def _send(self) -> str:
        latest = self.scm.latest()
        self._before = latest.id if latest else ""
        try:
            self._id = self.scm.publish(self.package, self.progress)
        except Unavailable as e:
            return self._lost(e)
        return "another publication is in progress" if self._id is None else "sent"

    def _lost(self, e: Unavailable) -> str:
        """No answer came: the package has arrived if there is a publication now that was not there
        before."""
        self._losses += 1
        latest = self.scm.latest()
        if latest and latest.id != self._before:
            self._id = latest.id
            return "sent; the answer was lost"
        if self._losses == _TRIES:
            raise e
        return "the connection broke; it is sent again"

    def _failed(self, found: PublishStatus) -> str:
        """A role that was given a moment ago may not be known everywhere: send again, some minutes
        long. Any other failure is one."""
        log = f"{found.text}\n{self.scm.log()}"
        if found.status == 3 and is_missing_role(log) and self._patient():
            self._id = None
            return _ROLE
        failed = f"Azure Functions app {self.app.name}: the publication {_FAILED[found.status]}"
        raise PublishFailed(f"{failed}. {_advice(log, _given(self.app))}").with_log(log)

    def _patient(self) -> bool:
        """Whether to send once more, after a pause that gets longer."""
        now, self._refused = self.clock.now(), self._refused + 1
        self._first = self._first or now
        self._again = now + self.clock.interval * min(2**self._refused, _LONGEST)
        return self._again - self._first <= ROLE_SECONDS


_ROLE = "waiting for the app's role on the storage account to take effect"


def _given(app: FunctionApp) -> str:
    """The name of the identity that opens the storage account, where it is not the app's own."""
    storage = (app.config.get("deployment") or {}).get("storage") or {}
    given = (storage.get("authentication") or {}).get("userAssignedIdentityResourceId") or ""
    return str(given).rpartition("/")[2]


def _advice(log: str, given: str) -> str:
    if is_missing_role(log) and given:
        return (
            f"The identity {given} may not open the storage account: have it given the role Storage"
            " Blob Data Owner on the account, which `identity` of deploy.toml leaves to who made"
            f" it, and run again. A new role was waited for {ROLE_SECONDS / 60:.0f} minutes"
        )
    if is_missing_role(log):
        return (
            "The app's identity may not open the storage account, though it has had the role"
            f" Storage Blob Data Owner for {ROLE_SECONDS / 60:.0f} minutes: see whether somebody"
            " took it away, or run again later"
        )
    if any(sign in log.lower() for sign in _FIREWALL):
        return (
            "The storage account's firewall does not let the app in: allow its network, or"
            " integrate both apps into a virtual network that it allows, then run again"
        )
    return (
        "What serves is what the platform took last; the log says why. Rehearse the package"
        f" ({program('rehearse')}), then run again"
    )


def publish(publication: Publication, wait: Wait) -> None:
    """Wait for the end of `publication`. Raises PublishFailed or TimedOut, with the log."""
    what = f"publishing to app {publication.app.name}"
    try:
        wait(what, publication.step)
    except TimedOut as e:
        e.with_log(publication.scm.log())
        raise
