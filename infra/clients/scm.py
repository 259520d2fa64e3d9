"""Where a function app's package is published: One Deploy of its SCM host, over azure-core, whose
sign-in, retries and errors are those of all other calls.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from azure.core import PipelineClient
from azure.core.pipeline import policies
from azure.core.rest import HttpRequest

from onnxferry.infra.clients.azure import RETRIES, Session, translated
from onnxferry.infra.errors import NotAllowed
from onnxferry.system.console import Progress

_PUBLISH = "/api/publish?RemoteBuild=false&Deployer=onnxferry"


@dataclass(frozen=True)
class Deployment:
    """One publication. `status`: 4 success, 3 failed, -1 was cancelled, 5 superseded, 6 partly;
    else under way."""

    id: str
    status: int
    text: str


class Scm:
    """The SCM host of one app."""

    def __init__(self, session: Session, app: str, host: str) -> None:
        self._where = f"publishing to Azure Functions app {app}"
        self._client = PipelineClient(
            f"https://{host}",
            policies=[
                policies.UserAgentPolicy("onnxferry"),
                policies.RetryPolicy(**RETRIES),
                policies.BearerTokenCredentialPolicy(session.credential, session.where.scope),
            ],
        )

    def publish(self, package: Path, progress: Progress) -> str | None:
        """Send the zip; the id of its deployment ("" when none was told), or None while another is
        in progress.

        After Unavailable it may have arrived all the same: `latest` tells.
        """
        with package.open("rb") as zipped:
            request = HttpRequest(
                "POST",
                self._client.format_url(_PUBLISH),
                headers={"Content-Type": "application/zip"},
                content=_Reported(zipped, progress),
            )
            with translated(self._where):
                # not again by itself: it may have arrived
                response = self._client.send_request(request)
        if response.status_code == 409:
            return None
        self._check(response)
        return _text(response).strip('" \n')

    def latest(self) -> Deployment | None:
        """The latest publication, or None when there is none."""
        response = self._get("/api/deployments/latest")
        if response.status_code == 404:
            return None
        self._check(response)
        found = json.loads(_text(response) or "{}")
        text = found.get("status_text") or found.get("message") or ""
        return Deployment(str(found.get("id", "")), int(found.get("status", 0)), text)

    def log(self) -> str:
        """What the latest publication said, a line an entry; "" when there is none."""
        response = self._get("/api/deployments/latest/log")
        if response.status_code == 404:
            return ""
        self._check(response)
        entries = json.loads(_text(response) or "[]")
        return "\n".join(
            f"{entry.get('log_time', '')} {entry.get('message', '')}".strip() for entry in entries
        )

    def _get(self, path: str) -> Any:
        with translated(self._where):
            return self._client.send_request(HttpRequest("GET", self._client.format_url(path)))

    def _check(self, response: Any) -> None:
        if response.status_code in (401, 403):
            raise NotAllowed(
                f"{self._where}: status {response.status_code}: the signed-in user may not publish;"
                " ask for the role Website Contributor on the app's resource group, wait some"
                " minutes and run again. Where the app has access restrictions, they must let this"
                " machine in"
            )
        with translated(self._where):
            response.raise_for_status()


class _Reported:
    """A file that says how much of it was read; sized, so that it is sent whole and not in
    chunks."""

    def __init__(self, file: BufferedReader, progress: Progress) -> None:
        self._file, self._note = file, progress
        self._size = Path(file.name).stat().st_size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Any:
        return iter(lambda: self.read(1 << 20), b"")

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._note(f"{self._file.tell() / 1e6:.1f} of {self._size / 1e6:.1f} MB sent")
        return chunk

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()


def _text(response: Any) -> str:
    return str(response.text())
