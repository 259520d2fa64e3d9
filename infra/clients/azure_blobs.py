"""The blobs of one container: the only importer of azure-storage-blob."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.errors import NotAllowed
from onnxferry.system.console import Progress

Sent = Callable[[int, int | None], None]  # told the bytes so far, and all


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
        options = {"credential": credential or session.credential, **session.blob_retries}
        self._container = BlobServiceClient(url, **options).get_container_client(name)

    def list(self, prefix: str) -> dict[str, Mapping[str, str]]:
        """The metadata of the blobs below `prefix`, by name. Raises NotAllowed without a role."""
        with self._opened(prefix.rstrip("/")), suppress(ResourceNotFoundError):
            found = self._container.list_blobs(prefix, include=["metadata"])
            return {blob.name: dict(blob.metadata or {}) for blob in found}
        return {}  # no container yet

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

    def delete(self, name: str) -> None:
        """Delete a blob, which may be gone already."""
        with self._opened(name), suppress(ResourceNotFoundError):
            self._container.delete_blob(name)

    @contextmanager
    def _opened(self, name: str) -> Iterator[None]:
        """Translate errors of `name`. To manage an account is not to open its blobs."""
        where = f"{name} {self._where}"
        with translated(where):
            try:
                yield
            except HttpResponseError as e:
                if e.status_code != 403:
                    raise
                raise NotAllowed(
                    f"{where}: {getattr(e, 'error_code', None) or 403}: the signed-in user may not"
                    " use its blobs. Give it the role Storage Blob Data Contributor on the account"
                    " (Owner does not include it), wait some minutes and run again; the account's"
                    " firewall must let this machine in"
                ) from e
