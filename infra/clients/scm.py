"""Publishing a function app's package: One Deploy of its SCM host, over azure-core."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import policies
from azure.core.rest import HttpRequest

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_causes import refusal_of
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.errors import NotAllowed
from onnxferry.system.console import Progress

_PUBLISH = "/api/publish?RemoteBuild=false&Deployer=onnxferry"


@dataclass(frozen=True)
class PublishStatus:
    """`status`: 4 success, 3 failed, -1 cancelled, 5 superseded, 6 partly; else under way."""

    id: str
    status: int
    text: str


class Scm:
    """The SCM host of one app."""

    def __init__(self, session: AzureSession, app: str, host: str) -> None:
        self._where = f"publishing to Azure Functions app {app}"
        retry = policies.RetryPolicy(**session.retries)
        used = [policies.UserAgentPolicy("onnxferry"), retry, session.sign_in_policy(), _Rewind()]
        self._client = PipelineClient(f"https://{host}", policies=used, **session.connection)

    def publish(self, package: Path, progress: Progress) -> str | None:
        """Send the zip; the publication's id ("" if untold), or None while another is in progress.
        After Unavailable, `latest` tells whether it arrived."""
        url, headers = self._client.format_url(_PUBLISH), {"Content-Type": "application/zip"}
        with _ReportingFile(package, progress) as zipped:
            request = HttpRequest("POST", url, headers=headers, content=zipped)
            return self._answer(request, nothing=409, stripped='" \n')

    def latest(self) -> PublishStatus | None:
        """The latest publication, if there is one."""
        text = self._get("/api/deployments/latest")
        if text is None:
            return None
        found = json.loads(text or "{}")
        said = found.get("status_text") or found.get("message") or ""
        return PublishStatus(str(found.get("id", "")), int(found.get("status", 0)), said)

    def log(self) -> str:
        """What the latest publication said, a line an entry; "" when there is none."""
        entries = json.loads(self._get("/api/deployments/latest/log") or "[]")
        lines = (f"{one.get('log_time', '')} {one.get('message', '')}" for one in entries)
        return "\n".join(map(str.strip, lines))

    def _get(self, path: str) -> str | None:
        return self._answer(HttpRequest("GET", self._client.format_url(path)), nothing=404)

    def _answer(self, request: HttpRequest, nothing: int, stripped: str = "") -> str | None:
        """The answer's text; None for status `nothing`. No POST is sent twice."""
        with translated(self._where):
            response = self._client.send_request(request)
            if response.status_code == nothing:
                return None
            if response.status_code in (401, 403):
                said = refusal_of(HttpResponseError(response=response)).text
                raise NotAllowed(
                    f"{self._where}: status {response.status_code}: {said}. The signed-in user"
                    " needs the role Website Contributor on the app's resource group (wait some"
                    " minutes, run again), and the app's access restrictions must let this machine"
                    " in"
                )
            response.raise_for_status()
            return str(response.text()).strip(stripped)


class _Rewind(policies.SansIOHTTPPolicy):  # type: ignore[misc]
    """Begins a file anew, of which a request refused for its token has sent all."""

    def on_request(self, request: Any) -> None:
        content = request.http_request.content
        if isinstance(content, FileIO):
            content.seek(0)


class _ReportingFile(FileIO):
    """A file that says how much of it was read."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(path)
        self._size, self._progress = path.stat().st_size, progress

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(-1 if size is None else size)
        self._progress(f"{self.tell() / 1e6:.1f} of {self._size / 1e6:.1f} MB sent")
        return chunk or b""
