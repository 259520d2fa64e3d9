"""The blobs of one container, such as a workspace's datastore: the door to azure-storage-blob for files in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from infra.clients.azure import translated
from infra.errors import NotAllowed

RETRIES: Mapping[str, Any] = {  # the blob SDK's own policy, with jitter in seconds
    "retry_total": 5, "initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1,
}  # fmt: skip
_SHA256 = "sha256"  # metadata of each blob: what is in it, so that an upload that was cut off goes on where it was


class Blobs:
    """The blobs of `container` at the storage account's `url`. `credential` is a SAS, a key, or who is signed in."""

    def __init__(self, url: str, container: str, credential: Any) -> None:
        self.url = url
        self.container = container
        service = BlobServiceClient(url, credential=credential, **RETRIES)
        self._container = service.get_container_client(container)

    def hashes(self, folder: str) -> dict[str, str]:
        """The blobs below `folder`, by name, with the sha256 that their upload noted ("" for others')."""
        with self._translated(folder):
            found = self._container.list_blobs(f"{folder}/", include=["metadata"])
            return {blob.name: (blob.metadata or {}).get(_SHA256, "") for blob in found}

    def upload(self, name: str, file: Path, sha256: str, progress: Callable[[int], None]) -> None:
        """Upload `file`, over what is there; `progress` is told the bytes that have arrived."""
        with self._translated(name), file.open("rb") as data:
            self._container.upload_blob(
                name,
                data,
                overwrite=True,
                max_concurrency=2,
                metadata={_SHA256: sha256},
                progress_hook=lambda done, total: progress(done),
            )

    def read(self, name: str) -> bytes | None:
        """A blob's bytes, or None when there is none of that name."""
        with self._translated(name):
            try:
                data: bytes = self._container.download_blob(name).readall()
            except ResourceNotFoundError:
                return None
        return data

    def delete(self, name: str) -> None:
        with self._translated(name):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                return

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        where = f"{name} in container {self.container} at {self.url}"
        with translated(where):
            try:
                yield
            except HttpResponseError as e:
                if e.status_code == 403:
                    raise NotAllowed(
                        f"{where}: {getattr(e, 'error_code', None) or 403}: these blobs may not be read or written. "
                        "Give the signed-in user the role Storage Blob Data Contributor on the storage account (Owner "
                        "and Contributor do not include it), or let its firewall let this machine in; then wait some "
                        "minutes and run again"
                    ) from e
                raise
