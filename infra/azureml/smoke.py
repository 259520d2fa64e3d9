"""Whether a deployment gives the golden answer; what its containers printed if it does not come
up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxferry.infra import errors
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients, serving_endpoint
from onnxferry.infra.clients import azureml_http
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.manifest import SPEC_FILE, Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

CONTAINERS = ("inference-server", "storage-initializer")
_BUSY = frozenset({429, 500, 502, 503, 504})  # what the front end answers of its own for a moment
_TRIES = 6


@dataclass(frozen=True)
class SmokeTest:
    """Sends golden requests, which `read` finds in a manifest, given with its place; the manifest
    is the file `spec` of a model. `clock` paces second tries."""

    clients: Clients
    names: Names
    clock: Clock
    spec: str = SPEC_FILE
    read: Callable[[bytes, str], Golden] = golden_in

    def run(self, golden: Golden, deployment: str = "", expected: str = "") -> None:
        """Send the golden request to `deployment`, or to the endpoint, where `expected` must
        answer. Raises NotHealthy or WrongAnswer."""
        endpoint = serving_endpoint(self.clients, self.names)
        bearer = self.clients.endpoints.bearer(endpoint)
        where = f"deployment {deployment or expected} of endpoint {endpoint.name}"
        send = partial(azureml_http.send, endpoint.url, bearer, deployment=deployment)
        reply = smoke(golden, partial(self._patiently, send), where)
        if expected and reply.served_by not in ("", expected):
            said = f"{reply.served_by} answered, though {expected} has all traffic"
            raise errors.WrongAnswer(f"endpoint {endpoint.name}: {said}")

    def golden(self, spec: str, model: str) -> Golden:
        """The golden request in the file `spec` of a package; without it, of a version of the
        model in the workspace. Raises NotFound."""
        if spec:
            return self.read(Path(spec).read_bytes(), spec)
        return self.read(self.manifest(model), self._manifest(model))

    def manifest(self, model: str) -> bytes:
        """The manifest of a version of the model in the workspace. Raises NotFound."""
        name = self._manifest(model)
        text = self.clients.workspace.blobs().read(name)
        if text is None:
            raise errors.NotFound(
                f"{name}: not in the default datastore of workspace {self.names.workspace}, so"
                " nothing says what that version should answer; deploy it again"
            )
        return text

    def _manifest(self, model: str) -> str:
        return f"{self.names.files('model', model)}/{self.spec}"

    @contextmanager
    def logged(self, deployment: str) -> Iterator[None]:
        """Add the end of the deployment's logs to a failure in the block."""
        try:
            yield
        except (errors.BuildFailed, errors.NotHealthy) as e:
            e.with_log(self._log(deployment))
            raise

    def _log(self, deployment: str) -> str:
        """What the deployment's containers printed last, or why there is no log."""
        parts, logs = [], self.clients.endpoints.logs
        for container in reversed(CONTAINERS):
            try:
                text = logs(self.names.endpoint, deployment, 100, container)
            except errors.CloudError as e:
                text = f"(no log: {e})"
            parts.append(f"[{container}]\n{text.strip()}")
        return "\n".join(parts)

    def _patiently(self, send: Callable[[Request], Reply], request: Request) -> Reply:
        """Try again where the front end is busy or the connection breaks, as after a change."""
        for _ in range(_TRIES - 1):
            try:
                reply = send(request)
                if reply.status not in _BUSY:
                    return reply
            except errors.InvokeFailed:
                pass
            self.clock.sleep(self.clock.interval)
        return send(request)
