"""Where a function app's package is published: One Deploy of its SCM host, over azure-core with the
sign-in, retries and errors of all other calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from azure.core import PipelineClient
from azure.core.pipeline import policies
from azure.core.rest import HttpRequest

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.errors import NotAllowed
from onnxferry.system.console import Progress

_PUBLISH = "/api/publish?RemoteBuild=false&Deployer=onnxferry"


@dataclass(frozen=True)
class PublishStatus:
    """One publication. `status`: 4 success, 3 failed, -1 was cancelled, 5 superseded, 6 partly;
    else under way."""

    id: str
    status: int
    text: str


class Scm:
    """The SCM host of one app."""

    def __init__(self, session: AzureSession, app: str, host: str) -> None:
        self._where = f"publishing to Azure Functions app {app}"
        self._client = PipelineClient(
            f"https://{host}",
            policies=[
                policies.UserAgentPolicy("onnxferry"),
                policies.RetryPolicy(**session.retries),
                policies.BearerTokenCredentialPolicy(session.credential, session.where.scope),
            ],
        )

    def publish(self, package: Path, progress: Progress) -> str | None:
        """Send the zip; the id of its publication ("" when none was told), or None while another is
        in progress. After Unavailable it may have arrived all the same: `latest` tells."""
        with _Reported(package, progress) as zipped:
            request = HttpRequest(
                "POST",
                self._client.format_url(_PUBLISH),
                headers={"Content-Type": "application/zip"},
                content=zipped,
            )
            return self._answer(request, nothing=409, stripped='" \n')

    def latest(self) -> PublishStatus | None:
        """The latest publication, or None when there is none."""
        text = self._get("/api/deployments/latest")
        if text is None:
            return None
        found = json.loads(text or "{}")
        said = found.get("status_text") or found.get("message") or ""
        return PublishStatus(str(found.get("id", "")), int(found.get("status", 0)), said)

    def log(self) -> str:
        """What the latest publication said, a line an entry; "" when there is none."""
        entries = json.loads(self._get("/api/deployments/latest/log") or "[]")
        return "\n".join(
            f"{entry.get('log_time', '')} {entry.get('message', '')}".strip() for entry in entries
        )

    def _get(self, path: str) -> str | None:
        return self._answer(HttpRequest("GET", self._client.format_url(path)), nothing=404)

    def _answer(self, request: HttpRequest, nothing: int, stripped: str = "") -> str | None:
        """The answer's text; None where its status is `nothing`. The retry policy sends no POST
        again by itself."""
        with translated(self._where):
            response = self._client.send_request(request)
            if response.status_code == nothing:
                return None
            if response.status_code in (401, 403):
                raise NotAllowed(
                    f"{self._where}: status {response.status_code}: the signed-in user may not"
                    " publish; ask for the role Website Contributor on the app's resource group,"
                    " wait some minutes and run again. Where the app has access restrictions, they"
                    " must let this machine in"
                )
            response.raise_for_status()
            return str(response.text()).strip(stripped)


class _Reported(FileIO):
    """A file that says how much of it was read."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path)
        self._size, self._progress = path.stat().st_size, progress

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(-1 if size is None else size)
        self._progress(f"{self.tell() / 1e6:.1f} of {self._size / 1e6:.1f} MB sent")
        return chunk or b""
