"""The blobs of one container: packages by their hash, and folders of files. The door to
azure-storage-blob."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from onnxferry.infra.clients.azure import Session, translated
from onnxferry.infra.errors import NotAllowed
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.infra.clients.storage import Account

BLOB_RETRIES: Mapping[str, Any] = {  # the blob SDK's own policy, with jitter in seconds
    "retry_total": 5,
    "initial_backoff": 1,
    "increment_base": 2,
    "random_jitter_range": 1,
}
# metadata of each blob: what is in it, so that an upload that was cut off goes on where it was
_SHA256 = "sha256"


class _Container:
    """`container` of the storage account at `url`, opened by `credential`; errors say that it is
    `where`."""

    def __init__(self, url: str, container: str, credential: Any, where: str) -> None:
        self._where = where
        service = BlobServiceClient(url, credential=credential, **BLOB_RETRIES)
        self._container = service.get_container_client(container)

    def delete(self, name: str) -> None:
        """Delete a blob, which may be gone already."""
        with self._opened(name):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                return

    @contextmanager
    def _opened(self, name: str) -> Iterator[None]:
        """Errors of `name`; who may manage an account may not, by that alone, open what is in
        it."""
        where = f"{name} in container {self._container.container_name} {self._where}"
        with translated(where):
            try:
                yield
            except HttpResponseError as e:
                if e.status_code == 403:
                    raise NotAllowed(
                        f"{where}: {getattr(e, 'error_code', None) or 403}: the signed-in user may"
                        " not read or write blobs there. Give it the role Storage Blob Data"
                        " Contributor on the storage account (the roles Owner and Contributor do"
                        " not include it), wait some minutes and run again; where the account has"
                        " a firewall, it must let this machine in"
                    ) from e
                raise


class Packages(_Container):
    """The blobs of one container, each named PREFIX/SHA256.zip; the signed-in user needs a data
    role for them."""

    def __init__(self, session: Session, account: Account, container: str) -> None:
        super().__init__(
            account.url, container, session.credential, f"of storage account {account.name}"
        )

    def list(self, prefix: str) -> dict[str, Mapping[str, str]]:
        """The blobs whose names begin with `prefix`, with their metadata. NotAllowed without a data
        role."""
        with self._opened(prefix):
            try:
                return {
                    b.name: dict(b.metadata or {})
                    for b in self._container.list_blobs(prefix, include=["metadata"])
                }
            except ResourceNotFoundError:
                return {}  # no container yet

    def has_other(self, prefix: str) -> bool:
        """Whether there are blobs whose names do not begin with `prefix`."""
        with self._opened(prefix):
            try:
                return any(
                    not name.startswith(prefix) for name in self._container.list_blob_names()
                )
            except ResourceNotFoundError:
                return False

    def upload(
        self, name: str, file: Path, metadata: Mapping[str, str], progress: Progress
    ) -> None:
        """Upload `file`; a blob of that name that is there is left as it is."""
        with self._opened(name), file.open("rb") as data:
            try:
                self._container.upload_blob(
                    name,
                    data,
                    metadata=dict(metadata),
                    overwrite=False,
                    max_concurrency=2,
                    progress_hook=_progress(progress),
                )
            except ResourceExistsError:
                return

    def download(self, name: str, file: Path, progress: Progress) -> None:
        with self._opened(name), file.open("wb") as out:
            self._container.download_blob(
                name, max_concurrency=2, progress_hook=_progress(progress)
            ).readinto(out)


class Blobs(_Container):
    """The blobs of `container` at the storage account's `url`. `credential` is a SAS, a key, or who
    is signed in."""

    def __init__(self, url: str, container: str, credential: Any) -> None:
        super().__init__(url, container, credential, f"at {url}")

    def hashes(self, folder: str) -> dict[str, str]:
        """The blobs below `folder`, by name, with the sha256 that their upload noted ("" for
        others')."""
        with self._opened(folder):
            found = self._container.list_blobs(f"{folder}/", include=["metadata"])
            return {blob.name: (blob.metadata or {}).get(_SHA256, "") for blob in found}

    def upload(self, name: str, file: Path, sha256: str, progress: Callable[[int], None]) -> None:
        """Upload `file`, over what is there; `progress` is told the bytes that have arrived."""
        with self._opened(name), file.open("rb") as data:
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
        with self._opened(name):
            try:
                data: bytes = self._container.download_blob(name).readall()
            except ResourceNotFoundError:
                return None
        return data


def _progress(progress: Progress) -> Callable[[int, int | None], None]:
    def say(done: int, total: int | None) -> None:
        progress(f"{done / 1e6:.1f} of {(total or done) / 1e6:.1f} MB")

    return say
