"""Whether an app works: its host runs, the platform found the functions in its package, it gives
the golden answer to who may ask, and none to anybody else."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients import function_host
from onnxferry.infra.clients.azure import State, Wait
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.errors import (
    CloudError,
    InvokeFailed,
    NotFound,
    NotHealthy,
    Refused,
    TimedOut,
    Unavailable,
)
from onnxferry.infra.functions import given_keys
from onnxferry.infra.functions.callers import auth_of, shown
from onnxferry.infra.functions.names import FUNCTION, PROBES
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.scoring.manifest import SPEC_FILE, Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

# what a host answers before it knows its keys, functions and workers
_STARTING = frozenset({401, 404, 502, 503, 504})
_OK, _REFUSED = 200, frozenset({401, 403})
_TRIES = 3  # times that any other refusal must come, so that one hiccup is none


@dataclass(frozen=True)
class SmokeTest:
    """Asks apps; `wait` waits for their answers."""

    clients: Clients
    wait: Wait

    def wait_until_healthy(self, app: FunctionApp) -> None:
        """Wait until the app's host runs and knows the function. Raises NotHealthy with the
        publication's log."""
        self._wait(app, lambda: self._unhealthy(app))

    def run(self, app: FunctionApp, golden: Golden) -> None:
        """Send the golden request, and see that strangers get no answer and probes one. Raises
        NotHealthy or WrongAnswer."""
        refusals: list[Reply] = []
        self._wait(app, lambda: self._unanswered(app, golden, refusals))
        if auth_of(app) != given_keys.ANONYMOUS:
            self._wait(app, lambda: self._open(app))
        for name in sorted(PROBES & self.clients.web.functions(app.name)):
            self._wait(app, lambda: self._closed(app, name))  # noqa: B023

    def _wait(self, app: FunctionApp, state: State) -> None:
        try:
            self.wait(f"Azure Functions app {app.name}", state)
        except TimedOut as e:
            raise NotHealthy(str(e)).with_log(publication_log(self.clients, app)) from e

    def _unhealthy(self, app: FunctionApp) -> str | None:
        web = self.clients.web
        try:
            state = function_host.host_state(app.host, shown(self.clients, app, master=True))
            if state != "Running":
                return f"its host: {state}"
            if FUNCTION not in web.functions(app.name):
                web.sync(app.name)
                return f"its function {FUNCTION}: not found yet"
        # the resource manager asks the host, which is not up yet
        except (Refused, NotFound, Unavailable) as e:
            return f"its host: not up ({str(e)[:200]})"
        return None

    def _unanswered(self, app: FunctionApp, golden: Golden, refusals: list[Reply]) -> str | None:
        """Send it once; `refusals` are those so far that a host which starts has no reason for."""
        known, replies = shown(self.clients, app), []

        def send(request: Request) -> Reply:
            replies.append(function_host.send(app.host, known, request))
            return replies[-1]

        try:
            smoke(golden, send, f"Azure Functions app {app.name}")
        except InvokeFailed as e:
            return str(e)
        except NotHealthy:
            if replies[-1].status not in _STARTING:
                refusals.append(replies[-1])
            if len(refusals) == _TRIES:
                raise
            return f"it answers with status {replies[-1].status}"
        return None

    def _open(self, app: FunctionApp) -> str | None:
        """What somebody gets who shows neither key nor token, where that is no refusal."""
        status = function_host.stranger(app.host, function_host.SCORE, "POST")
        return None if status in _REFUSED else f"strangers get status {status}, and no refusal"

    def _closed(self, app: FunctionApp, name: str) -> str | None:
        """What a probe gets, which shows nothing, where that is not that all is well."""
        status = function_host.stranger(app.host, f"/api/{name}")
        return None if status == _OK else f"a probe of /api/{name} gets status {status}"


def golden_of(package: Path) -> Golden:
    """The golden request in the model_spec.json of function.zip, which no host and no user can lose
    or confuse with another version's. Raises CloudError when it is no such package."""
    try:
        with zipfile.ZipFile(package) as zipped:
            text = zipped.read(f"model/{SPEC_FILE}")
    except (OSError, KeyError, zipfile.BadZipFile) as e:
        raise CloudError(f"package {package.name}: no function package of onnxferry ({e!r})") from e
    return golden_in(text, f"package {package.name}")


def publication_log(clients: Clients, app: FunctionApp) -> str:
    """The log of the app's latest publication; why there is none where that is so."""
    try:
        return Scm(clients.session, app.name, app.scm).log()
    except CloudError as e:
        return f"(no log: {e})"
