"""Azure's resource groups, tags, and any resource by its id: the door to azure-mgmt-resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.resource.resources import ResourceManagementClient

from onnxferry.infra.clients.azure import Session, translated
from onnxferry.infra.errors import TimedOut

# for calls that may be sent twice, though they are POST
AGAIN = ("HEAD", "GET", "PUT", "DELETE", "PATCH", "POST")
LIMIT = 600.0  # seconds for an operation that is a matter of seconds


@dataclass(frozen=True)
class Item:
    """A resource group, or a resource in one. `state` is its provisioning state."""

    kind: str
    name: str
    location: str = ""
    state: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Groups:
    """Resource groups of one subscription."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = ResourceManagementClient(**session.options)

    def get(self, group: str) -> Item | None:
        """The group, or None when there is none."""
        with translated(self._where(group)):
            try:
                found = self._client.resource_groups.get(group)
            except ResourceNotFoundError as e:
                if e.error and e.error.code == "SubscriptionNotFound":
                    raise
                return None
        state = found.properties.provisioning_state if found.properties else ""
        return Item(
            "resource group", found.name, found.location, state or "", dict(found.tags or {})
        )

    def create(self, group: str, location: str, tags: Mapping[str, str]) -> None:
        with translated(self._where(group)):
            self._client.resource_groups.create_or_update(
                group, {"location": location, "tags": dict(tags)}
            )

    def delete(self, group: str) -> Any:
        """Begin to delete the group with all that is in it; the poller of the operation."""
        with translated(self._where(group)):
            return self._client.resource_groups.begin_delete(group)

    def resources(self, group: str) -> list[Item]:
        """All resources in the group."""
        with translated(self._where(group)):
            found = list(self._client.resources.list_by_resource_group(group))
        return [Item(r.type, r.name, r.location or "", "", dict(r.tags or {})) for r in found]

    def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Add `tags` to a resource, or change their values; its other tags stay."""
        patch = {"operation": "Merge", "properties": {"tags": dict(tags)}}
        where = f"tags of {resource_id.rpartition('/')[2]}"
        with translated(where):
            begun = self._client.tags.begin_update_at_scope(
                resource_id, patch, retry_on_methods=AGAIN
            )
            _end(begun, where)

    def _where(self, group: str) -> str:
        return f"resource group {group} of subscription {self._session.subscription}"


class Resources:
    """Any resource by its id and its type's `api_version`, for types that their service's SDK does
    not offer."""

    def __init__(self, session: Session, api_version: str) -> None:
        self._client = ResourceManagementClient(**session.options).resources
        self._api_version = api_version

    def get(self, id_: str) -> Mapping[str, Any] | None:
        """The resource's properties, or None when there is none."""
        with translated(_where(id_)):
            try:
                found = self._client.get_by_id(id_, api_version=self._api_version)
            except ResourceNotFoundError:
                return None
        return dict(found.properties or {})

    def put(self, id_: str, properties: Mapping[str, Any]) -> None:
        """Create the resource, or change it, and wait until that is done."""
        with translated(_where(id_)):
            body = {"properties": dict(properties)}
            _end(
                self._client.begin_create_or_update_by_id(id_, body, api_version=self._api_version),
                _where(id_),
            )

    def delete(self, id_: str) -> None:
        """Delete the resource, and wait until it is gone; none there is none to delete."""
        with translated(_where(id_)):
            try:
                _end(
                    self._client.begin_delete_by_id(id_, api_version=self._api_version), _where(id_)
                )
            except ResourceNotFoundError:
                return


def _end(begun: Any, where: str) -> None:
    """Wait for an operation that is a matter of seconds. Raises TimedOut after LIMIT."""
    begun.wait(LIMIT)
    if not begun.done():
        raise TimedOut(
            f"{where}: still {begun.status()} after {LIMIT:g} s. Azure may yet complete it: run the"
            " same command again"
        )
    begun.result()


def _where(id_: str) -> str:
    return "/".join(id_.rpartition("/providers/")[2].split("/")[1:])
