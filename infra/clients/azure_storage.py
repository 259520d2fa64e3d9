"""Azure's storage accounts and their containers: the only importer of azure-mgmt-storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.mgmt.storage import StorageManagementClient

from onnxferry.infra.clients import azure_bodies
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.clients.azure_groups import AGAIN, ArmResource
from onnxferry.infra.errors import NameTaken

API_VERSION = "2025-01-01"


@dataclass(frozen=True)
class StorageAccount(ArmResource):
    """`url` is where the account's blobs are, without a slash at its end."""

    url: str = ""


class Storage:
    """The storage accounts of one resource group."""

    def __init__(self, session: AzureSession, group: str) -> None:
        self._group = group
        self._client = StorageManagementClient(api_version=API_VERSION, **session.options)

    def get(self, name: str) -> StorageAccount | None:
        """The account of that name, if there is one."""
        get = self._client.storage_accounts.get_properties
        model = existing(self._where(name), get, self._group, name)
        if model is None:
            return None
        found = model.as_dict()
        facts, tags = found.get("properties") or {}, found.get("tags") or {}
        url = (facts.get("primaryEndpoints") or {}).get("blob", "").rstrip("/")
        return StorageAccount(found["name"], facts.get("provisioningState", ""), tags, url)

    def check_name(self, name: str) -> None:
        """Raise NameTaken when somebody else has an account of that name."""
        asked = {"name": name, "type": "Microsoft.Storage/storageAccounts"}
        with translated(self._where(name)):
            check = self._client.storage_accounts.check_name_availability
            answer = check(asked, retry_on_methods=AGAIN)
        if not answer.name_available:
            raise NameTaken(
                f"{self._where(name)}: {answer.reason}: {answer.message} Set storage_account in"
                " [functions] of deploy.toml to another name or an account of this group"
            )

    def create(self, name: str, location: str, tags: Mapping[str, str]) -> Any:
        """Begin to create an account that only identities can open; the poller."""
        wanted = azure_bodies.storage_account({"location": location, "tags": dict(tags)})
        with translated(self._where(name)):
            return self._client.storage_accounts.begin_create(self._group, name, wanted)

    def delete(self, name: str) -> None:
        """Delete the account with all that is in it."""
        with translated(self._where(name)):
            self._client.storage_accounts.delete(self._group, name)

    def containers(self, account: str) -> frozenset[str]:
        """The names of the account's blob containers."""
        with translated(self._where(account)):
            found = self._client.blob_containers.list(self._group, account)
            return frozenset(container.name for container in found)

    def container(self, account: str, name: str) -> Mapping[str, str] | None:
        """The metadata of a container, if it is there: a list of them has none."""
        get, where = self._client.blob_containers.get, f"container {name} of {self._where(account)}"
        found = existing(where, get, self._group, account, name)
        if found is None:
            return None
        return (found.as_dict().get("properties") or {}).get("metadata") or {}

    def create_container(self, account: str, name: str, metadata: Mapping[str, str]) -> None:
        """Create a container, which may be there already: then its metadata are replaced."""
        wanted = azure_bodies.container(dict(metadata))
        with translated(f"container {name} of {self._where(account)}"):
            self._client.blob_containers.create(self._group, account, name, wanted)

    def delete_container(self, account: str, name: str) -> None:
        """Delete a container with its blobs; it may be gone already."""
        with translated(f"container {name} of {self._where(account)}"):
            self._client.blob_containers.delete(self._group, account, name)

    def others(self, account: str) -> list[str]:
        """The account's file shares, queues and tables, which an app's own account has not."""
        services = {"file share": "file_shares", "queue": "queue", "table": "table"}
        others = []
        with translated(self._where(account)):
            for kind, service in services.items():
                found = getattr(self._client, service).list(self._group, account)
                others += [f"{kind} {one.name}" for one in found]
        return others

    def _where(self, name: str) -> str:
        return f"storage account {name} of resource group {self._group}"
