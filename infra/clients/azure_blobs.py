"""The blobs of one container: the only importer of azure-storage-blob."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.storage.blob import BlobServiceClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_causes import storage_code
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.connections import broken, unknown_name
from onnxferry.infra.errors import NotAllowed, NotFound
from onnxferry.infra.lease import Stored
from onnxferry.system.console import Progress

Sent = Callable[[int, int | None], None]  # told the bytes so far, and all
_ROLE = (
    "the signed-in user may not use its blobs. Give it the role Storage Blob Data Contributor on"
    " the account (Owner does not include it), wait some minutes and run again"
)
_ADVICE = {  # what else a 403 may mean
    "AuthorizationFailure": "the account's firewall must let this machine in, and does not. Add its"
    " address under Networking of the storage account, or run from a network that is let in",
    "KeyBasedAuthenticationNotPermitted": "the account takes neither keys nor SAS"
    " (allowSharedKeyAccess is false), and the datastore has one. Let the workspace's datastores"
    " open it as who is signed in, with `az ml workspace update --system-datastores-auth-mode"
    " identity`, and give the signed-in user and the endpoint's identity the role Storage Blob Data"
    " Contributor on the account",
    "AuthenticationFailed": "its key or SAS is not valid, or no longer, or this machine's clock is"
    " wrong. Correct the clock, or renew the datastore's key",
}
_WRITTEN = ("BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite")


def megabytes(progress: Progress, before: int = 0, total: int | None = None) -> Sent:
    """Tell `progress` how much of `total` was sent, with `before` bytes of other files."""

    def sent(done: int, size: int | None) -> None:
        progress(f"{(before + done) / 1e6:.1f} of {(total or size or done) / 1e6:.1f} MB")

    return sent


class BlobContainer:
    """The container `name` of the storage account at `url`. `credential` is a SAS or a key;
    without it, the session's is used, which needs a data role."""

    def __init__(self, session: AzureSession, url: str, name: str, credential: Any = None) -> None:
        self._where = f"in container {name} at {url}"
        self._ahead = 0.0  # of the server's clock before this process's
        options = {"credential": credential or session.credential, **session.blob_retries}
        options |= session.connection
        options["raw_response_hook"] = self._note_date
        self._container = BlobServiceClient(url, **options).get_container_client(name)

    def list(self, prefix: str) -> dict[str, Mapping[str, str]]:
        """The metadata of the blobs below `prefix`, by name. Raises NotAllowed without a role."""
        with self._opened(prefix.rstrip("/")), suppress(ResourceNotFoundError):
            found = self._container.list_blobs(prefix, include=["metadata"])
            return {blob.name: dict(blob.metadata or {}) for blob in found}
        return {}  # no container yet

    def sizes(self, prefix: str) -> dict[str, int]:
        """The bytes of the blobs whose names begin with `prefix`, by name. Raises as `list`."""
        with self._opened(prefix.rstrip("/")), suppress(ResourceNotFoundError):
            return {blob.name: int(blob.size) for blob in self._container.list_blobs(prefix)}
        return {}

    def start(self, name: str, size: int) -> bytes:
        """The first bytes of a blob. Raises NotFound."""
        with self._opened(name):
            return bytes(self._container.download_blob(name, offset=0, length=size).readall())

    def has_other(self, prefix: str) -> bool:
        """Whether there are blobs outside `prefix`."""
        with self._opened(prefix.rstrip("/")), suppress(ResourceNotFoundError):
            names = self._container.list_blob_names()
            return any(not name.startswith(prefix) for name in names)
        return False

    def upload(
        self, name: str, file: Path, metadata: Mapping[str, str], sent: Sent, *, overwrite: bool
    ) -> None:
        """Upload `file`; a blob of that name stays unless `overwrite`."""
        options: dict[str, Any] = {"overwrite": overwrite, "metadata": dict(metadata)}
        options |= {"max_concurrency": 2, "progress_hook": sent}
        with self._opened(name), suppress(ResourceExistsError), file.open("rb") as data:
            self._container.upload_blob(name, data, **options)

    def put(self, name: str, data: bytes, metadata: Mapping[str, str]) -> None:
        """Write a small blob, whatever is there."""
        with self._opened(name):
            self._container.upload_blob(name, data, overwrite=True, metadata=dict(metadata))

    def download(self, name: str, file: Path, sent: Sent) -> None:
        """Write a blob's bytes to `file`."""
        with self._opened(name), file.open("wb") as out:
            blob = self._container.download_blob(name, max_concurrency=2, progress_hook=sent)
            blob.readinto(out)

    def read(self, name: str) -> bytes | None:
        """A blob's bytes; None where it is not there."""
        with self._opened(name), suppress(ResourceNotFoundError):
            return bytes(self._container.download_blob(name).readall())
        return None

    def newest(self, folder: str) -> Iterator[str]:
        """The names of the blobs below `folder` (with a slash at its end), the last in order first.
        A folder is listed when its turn comes. Raises NotAllowed without a role."""
        names = list[str]()
        with self._opened(folder), suppress(ResourceNotFoundError):
            names += [one.name for one in self._container.walk_blobs(folder, delimiter="/")]
        for name in sorted(names, reverse=True):
            yield from self.newest(name) if name.endswith("/") else (name,)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a blob, read in parts."""
        rest = b""
        with self._opened(name):
            for part in self._container.download_blob(name).chunks():
                *whole, rest = (rest + part).split(b"\n")
                yield from whole
        if rest:
            yield rest

    def name_of(self, url: str) -> str:
        """The name of the blob of this container at `url`; "" for one that is elsewhere."""
        start = f"{self._container.url.partition('?')[0]}/"
        return unquote(url.removeprefix(start)) if url.startswith(start) else ""

    def read_text(self, name: str) -> Stored | None:
        """A small text as it is now; None where it is not there. Raises NotFound where the
        container or its account is absent."""
        with self._opened(name):
            try:
                blob = self._container.download_blob(name)
                text = blob.readall().decode()
            except ResourceNotFoundError as e:
                if storage_code(e) == "BlobNotFound":
                    return None
                raise
        now = self._ahead + time.monotonic()
        written = blob.properties.last_modified.timestamp()
        return Stored(text, blob.properties.etag, max(0.0, now - written))

    def write_text(self, name: str, text: str, etag: str) -> str | None:
        """Write a small text where `etag` is still there, or nothing if it is "". The new etag;
        None where another was first. Raises NotFound as `read_text` does."""
        only: dict[str, Any] = {"overwrite": bool(etag)}
        if etag:
            only |= {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        with self._opened(name):
            try:
                return str(self._container.get_blob_client(name).upload_blob(text, **only)["etag"])
            except (ResourceExistsError, ResourceModifiedError) as e:
                if storage_code(e) not in _WRITTEN:
                    raise
        there = self.read_text(name)  # a first try may have arrived, and its answer not
        return there.etag if there and there.text == text else None

    def delete(self, name: str) -> None:
        """Delete a blob, which may be gone already."""
        with self._opened(name), suppress(ResourceNotFoundError):
            self._container.delete_blob(name)

    def _note_date(self, response: Any) -> None:
        if date := response.http_response.headers.get("Date"):
            self._ahead = parsedate_to_datetime(date).timestamp() - time.monotonic()

    @contextmanager
    def _opened(self, name: str) -> Iterator[None]:
        """Translate errors of `name`. To manage an account is not to open its blobs."""
        where = f"{name} {self._where}"
        with translated(where):
            try:
                yield
            except ServiceRequestError as e:
                if not unknown_name(e):
                    raise
                raise NotFound(f"{where}: no such account, or no network: {broken(e)}") from e
            except HttpResponseError as e:
                if e.status_code != 403:
                    raise
                code = storage_code(e)
                raise NotAllowed(f"{where}: {code or 403}: {_ADVICE.get(code, _ROLE)}") from e


@dataclass(frozen=True)
class BlobLease:
    """A lease's document: the blob `name` of `container`."""

    container: BlobContainer
    name: str

    def read(self) -> Stored | None:
        """The document; None where there is none."""
        return self.container.read_text(self.name)

    def write(self, text: str, etag: str) -> str | None:
        """Write where `etag` is still there, or nothing if it is "". The new etag; None where
        another was quicker."""
        return self.container.write_text(self.name, text, etag)
