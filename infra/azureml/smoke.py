"""Whether a deployment gives the golden answer; what its containers printed if it does not come
up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra import errors
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients, serving_endpoint
from onnxferry.infra.clients import online
from onnxferry.infra.clients.azureml_facts import ManagedEndpoint
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.manifest import SPEC_FILE, Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply

CONTAINERS = ("inference-server", "storage-initializer")
_BUSY = frozenset({429, 500, 502, 503, 504})  # what the front end answers of its own for a moment
_TRIES = 6


@dataclass(frozen=True)
class SmokeTest:
    """Sends golden requests; `clock` paces second tries."""

    clients: Clients
    names: Names
    clock: Clock

    def run(self, golden: Golden, deployment: str = "", expected: str = "") -> None:
        """Send the golden request to `deployment`, or to the endpoint, where `expected` must
        answer. Raises NotHealthy or WrongAnswer."""
        endpoint = serving_endpoint(self.clients, self.names)
        bearer = self.clients.endpoints.bearer(endpoint)
        where = f"deployment {deployment or expected} of endpoint {endpoint.name}"
        reply = smoke(golden, lambda r: self._send(endpoint, bearer, r, deployment), where)
        by = reply.served_by
        if expected and by not in ("", expected):
            said = f"{by} answered, though {expected} has all traffic"
            raise errors.WrongAnswer(f"endpoint {endpoint.name}: {said}")

    def golden_in_file(self, spec: str) -> Golden:
        """The golden request in the package."""
        return golden_in(Path(spec).read_bytes(), spec)

    def golden_in_workspace(self, model: str) -> Golden:
        """The golden request of a version of the model. Raises NotFound."""
        name = f"{self.names.files('model', model)}/{SPEC_FILE}"
        text = self.clients.workspace.blobs().read(name)
        if text is None:
            raise errors.NotFound(
                f"{name}: not in the default datastore of workspace {self.names.workspace}, so"
                " nothing says what the previous version should answer; deploy it again"
            )
        return golden_in(text, name)

    @contextmanager
    def logged(self, deployment: str) -> Iterator[None]:
        """Add the end of the deployment's logs to a failure in the block."""
        try:
            yield
        except (errors.BuildFailed, errors.NotHealthy) as e:
            e.with_log(self.log(deployment, 100))
            raise

    def log(self, deployment: str, lines: int) -> str:
        """What the deployment's containers printed last, or why there is no log."""
        parts, logs = [], self.clients.endpoints.logs
        for container in reversed(CONTAINERS):
            try:
                text = logs(self.names.endpoint, deployment, lines, container)
            except errors.CloudError as e:
                text = f"(no log: {e})"
            parts.append(f"[{container}]\n{text.strip()}")
        return "\n".join(parts)

    def _send(
        self, endpoint: ManagedEndpoint, bearer: str, request: Request, deployment: str
    ) -> Reply:
        """Try again where the front end is busy or the connection breaks, as after a change."""
        for _ in range(_TRIES - 1):
            try:
                reply = online.send(endpoint, bearer, request, deployment=deployment)
                if reply.status not in _BUSY:
                    return reply
            except errors.InvokeFailed:
                pass
            self.clock.sleep(self.clock.interval)
        return online.send(endpoint, bearer, request, deployment=deployment)
