"""Azure's storage accounts, the packages in their blobs, and folders of files in a container: the door to
azure-mgmt-storage and azure-storage-blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

from infra.clients.azure import Session, translated
from infra.clients.groups import AGAIN
from infra.errors import NameTaken, NotAllowed
from scripts.console import Note

API_VERSION = "2025-01-01"
BLOB_RETRIES: Mapping[str, Any] = {  # the blob SDK's own policy, with jitter in seconds
    "retry_total": 5, "initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1,
}  # fmt: skip
_SHA256 = "sha256"  # metadata of each blob: what is in it, so that an upload that was cut off goes on where it was


@dataclass(frozen=True)
class Account:
    """A storage account. `url` is where its blobs are, without a slash at its end; `state` its provisioning state."""

    id: str
    name: str
    location: str
    state: str
    url: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Storage:
    """The storage accounts of one resource group."""

    def __init__(self, session: Session, group: str) -> None:
        self._group = group
        self._client = StorageManagementClient(api_version=API_VERSION, **session.options)

    def get(self, name: str) -> Account | None:
        """The account, or None when the group has none of that name."""
        with translated(self._where(name)):
            try:
                found = self._client.storage_accounts.get_properties(self._group, name).as_dict()
            except ResourceNotFoundError:
                return None
        facts = found.get("properties") or {}
        return Account(
            id=found["id"],
            name=found["name"],
            location=found["location"],
            state=facts.get("provisioningState", ""),
            url=(facts.get("primaryEndpoints") or {}).get("blob", "").rstrip("/"),
            tags=found.get("tags") or {},
        )

    def check_name(self, name: str) -> None:
        """Raise NameTaken when somebody else has an account of that name."""
        asked = {"name": name, "type": "Microsoft.Storage/storageAccounts"}
        with translated(self._where(name)):
            answer = self._client.storage_accounts.check_name_availability(asked, retry_on_methods=AGAIN)
        if not answer.name_available:
            raise NameTaken(
                f"{self._where(name)}: {answer.reason}: {answer.message} "
                "Set storage_account in [functions] of deploy.toml to another name, or to an account of this group"
            )

    def create(self, name: str, location: str, tags: Mapping[str, str]) -> Any:
        """Begin to create an account that only identities can open; the poller of the operation."""
        wanted = {
            "location": location, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "tags": dict(tags),
            "properties": {
                "allowBlobPublicAccess": False, "allowSharedKeyAccess": False, "minimumTlsVersion": "TLS1_2",
                "supportsHttpsTrafficOnly": True, "defaultToOAuthAuthentication": True,
            },
        }  # fmt: skip
        with translated(self._where(name)):
            return self._client.storage_accounts.begin_create(self._group, name, wanted)

    def delete(self, name: str) -> None:
        with translated(self._where(name)):
            self._client.storage_accounts.delete(self._group, name)

    def containers(self, account: str) -> frozenset[str]:
        """The names of the account's blob containers."""
        with translated(self._where(account)):
            return frozenset(c.name for c in self._client.blob_containers.list(self._group, account))

    def create_container(self, account: str, name: str) -> None:
        with translated(f"container {name} of {self._where(account)}"):
            self._client.blob_containers.create(self._group, account, name, {"properties": {"publicAccess": "None"}})

    def delete_container(self, account: str, name: str) -> None:
        with translated(f"container {name} of {self._where(account)}"):
            self._client.blob_containers.delete(self._group, account, name)

    def others(self, account: str) -> list[str]:
        """The account's file shares, queues and tables: what an app's own account has none of."""
        with translated(self._where(account)):
            return [
                *(f"file share {found.name}" for found in self._client.file_shares.list(self._group, account)),
                *(f"queue {found.name}" for found in self._client.queue.list(self._group, account)),
                *(f"table {found.name}" for found in self._client.table.list(self._group, account)),
            ]

    def _where(self, name: str) -> str:
        return f"storage account {name} of resource group {self._group}"


class Packages:
    """The blobs of one container, each named PREFIX/SHA256.zip; the signed-in user needs a data role for them."""

    def __init__(self, session: Session, account: Account, container: str) -> None:
        self._account = account
        service = BlobServiceClient(account.url, credential=session.credential, **BLOB_RETRIES)
        self._container = service.get_container_client(container)

    def list(self, prefix: str) -> dict[str, Mapping[str, str]]:
        """The blobs whose names begin with `prefix`, with their metadata. NotAllowed without a data role."""
        with self._opened(prefix):
            try:
                return {
                    b.name: dict(b.metadata or {}) for b in self._container.list_blobs(prefix, include=["metadata"])
                }
            except ResourceNotFoundError:
                return {}  # no container yet

    def has_other(self, prefix: str) -> bool:
        """Whether there are blobs whose names do not begin with `prefix`."""
        with self._opened(prefix):
            try:
                return any(not name.startswith(prefix) for name in self._container.list_blob_names())
            except ResourceNotFoundError:
                return False

    def upload(self, name: str, file: Path, metadata: Mapping[str, str], note: Note) -> None:
        """Upload `file`; a blob of that name that is there is left as it is."""
        with self._opened(name), file.open("rb") as data:
            try:
                self._container.upload_blob(
                    name,
                    data,
                    metadata=dict(metadata),
                    overwrite=False,
                    max_concurrency=2,
                    progress_hook=_progress(note),
                )
            except ResourceExistsError:
                return

    def download(self, name: str, file: Path, note: Note) -> None:
        with self._opened(name), file.open("wb") as out:
            self._container.download_blob(name, max_concurrency=2, progress_hook=_progress(note)).readinto(out)

    def delete(self, name: str) -> None:
        with self._opened(name):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                return

    def _opened(self, name: str) -> AbstractContextManager[None]:
        where = f"container {self._container.container_name} of storage account {self._account.name}"
        return _opened(f"{name} in {where}")


def _progress(note: Note) -> Callable[[int, int | None], None]:
    def say(done: int, total: int | None) -> None:
        note(f"{done / 1e6:.1f} of {(total or done) / 1e6:.1f} MB")

    return say


class Blobs:
    """The blobs of `container` at the storage account's `url`. `credential` is a SAS, a key, or who is signed in."""

    def __init__(self, url: str, container: str, credential: Any) -> None:
        self.url = url
        self.container = container
        service = BlobServiceClient(url, credential=credential, **BLOB_RETRIES)
        self._container = service.get_container_client(container)

    def hashes(self, folder: str) -> dict[str, str]:
        """The blobs below `folder`, by name, with the sha256 that their upload noted ("" for others')."""
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

    def delete(self, name: str) -> None:
        with self._opened(name):
            try:
                self._container.delete_blob(name)
            except ResourceNotFoundError:
                return

    def _opened(self, name: str) -> AbstractContextManager[None]:
        return _opened(f"{name} in container {self.container} at {self.url}")


@contextmanager
def _opened(where: str) -> Iterator[None]:
    """Errors of blobs at `where`; who may manage an account may not, by that alone, open what is in it."""
    with translated(where):
        try:
            yield
        except HttpResponseError as e:
            if e.status_code == 403:
                raise NotAllowed(
                    f"{where}: {getattr(e, 'error_code', None) or 403}: the signed-in user may not read or write blobs "
                    "there. Give it the role Storage Blob Data Contributor on the storage account (the roles Owner and "
                    "Contributor do not include it), wait some minutes and run again; where the account has a "
                    "firewall, it must let this machine in"
                ) from e
            raise
