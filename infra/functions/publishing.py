"""Publish a package to an app by One Deploy, and wait for the publication's end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.scm import PublishStatus, Scm
from onnxferry.infra.errors import PublishFailed, TimedOut, Unavailable
from onnxferry.system.console import Progress
from onnxferry.system.exits import program

_DONE = 4
_FAILED = {
    3: "failed",
    -1: "was cancelled",
    5: "was superseded by another",
    6: "succeeded only in part",
}
_TRIES = 5  # times that a package is sent whose arrival nobody confirms
_NO_ROLE_YET = ("not authorized", "forbidden", "(403)", "authorizationpermissionmismatch")


@dataclass
class Publication:
    """One package on its way to one app. `step` gives what it waits for, in words; None is the
    end."""

    scm: Scm
    app: str
    package: Path
    progress: Progress
    _before: str = ""
    _id: str | None = None
    _losses: int = 0

    def step(self) -> str | None:
        """Send the package, or ask how far it is."""
        if self._id is None:
            return self._send()
        found = self.scm.latest()
        if found is None:
            return None  # it is gone after it was accepted: done
        if found.id == self._before and found.id != self._id:
            return "accepted, not begun"
        if found.status == _DONE:
            return None
        if found.status in _FAILED:
            return self._failed(found)
        return f"being published {found.text}".strip()

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
        """A role that was given a moment ago may not be known everywhere: send again. Any other
        failure is one."""
        log = f"{found.text}\n{self.scm.log()}"
        if found.status == 3 and any(sign in log.lower() for sign in _NO_ROLE_YET):
            self._id = None
            return "waiting for the app's role on the storage account to take effect"
        said = (
            f"Azure Functions app {self.app}: the publication {_FAILED[found.status]}. What"
            " serves is what the platform took last; the log says why. Rehearse the package"
            f" ({program('rehearse')}), then run again"
        )
        raise PublishFailed(said).with_log(log)


def publish(publication: Publication, wait: Wait) -> None:
    """Wait for the end of `publication`. Raises PublishFailed or TimedOut, with the log."""
    what = f"publishing to app {publication.app}"
    try:
        wait(what, publication.step)
    except TimedOut as e:
        e.with_log(publication.scm.log())
        raise
