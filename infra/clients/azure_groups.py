"""Azure's resource groups, and any resource by its id: the only importer of azure-mgmt-resource."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.resource.resources import ResourceManagementClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.errors import TimedOut

AGAIN = ("HEAD", "GET", "PUT", "DELETE", "PATCH", "POST")  # for a POST that may be sent twice
LIMIT = 600.0  # seconds for an operation that is a matter of seconds


@dataclass(frozen=True)
class ArmResource:
    """A resource group, or a resource in one; `state` is its provisioning state."""

    name: str
    state: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaggedResource:
    """A resource, or a group, with its tags: `type` is like "Microsoft.Web/sites", `state`
    its provisioning state, `capacity` the instances of its SKU (0 where it has none)."""

    id: str
    name: str
    type: str
    location: str
    tags: Mapping[str, str]
    state: str = ""
    capacity: int = 0

    @property
    def group(self) -> str:
        """The resource group that it is in, or that it is."""
        return self.id.split("/")[4]


class Groups:
    """The resource groups of one subscription."""

    def __init__(self, session: AzureSession) -> None:
        self._subscription = session.subscription
        self._client = ResourceManagementClient(**session.options)

    def get(self, group: str) -> ArmResource | None:
        """The group, if there is one."""
        with translated(self._where(group)):
            try:
                found = self._client.resource_groups.get(group)
            except ResourceNotFoundError as e:
                if e.error and e.error.code == "SubscriptionNotFound":
                    raise
                return None
        state = found.properties.provisioning_state if found.properties else ""
        return ArmResource(found.name, state or "", dict(found.tags or {}))

    def location(self, group: str) -> str:
        """The group's region; "" where there is no such group."""
        get = self._client.resource_groups.get
        found = existing(self._where(group), get, group)
        return str(found.location) if found else ""

    def create(self, group: str, location: str, tags: Mapping[str, str]) -> None:
        """Create the group."""
        wanted = {"location": location, "tags": dict(tags)}
        with translated(self._where(group)):
            self._client.resource_groups.create_or_update(group, wanted)

    def delete(self, group: str) -> Any:
        """Begin to delete the group with all that is in it; the poller."""
        with translated(self._where(group)):
            return self._client.resource_groups.begin_delete(group)

    def resources(self, group: str) -> list[str]:
        """The ids of all resources in the group."""
        with translated(self._where(group)):
            return [r.id for r in self._client.resources.list_by_resource_group(group)]

    def all_in(self, group: str) -> dict[str, TaggedResource]:
        """All resources in the group, by their ids in small letters."""
        asked = {"expand": "provisioningState"}
        with translated(self._where(group)):
            found = self._client.resources.list_by_resource_group(group, **asked)
            return {one.id.lower(): _tagged(one) for one in found}

    def resources_tagged(self, tag: str) -> list[TaggedResource]:
        """All resources and groups of the subscription that have the tag and that the signed-in
        user may read."""
        asked = f"tagName eq '{tag}'"
        with translated(f"resources of subscription {self._subscription}"):
            groups = self._client.resource_groups.list(filter=asked)
            resources = self._client.resources.list(filter=asked, expand="provisioningState")
            return [*map(_tagged, groups), *map(_tagged, resources)]

    def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Set `tags` of a resource; its other tags stay."""
        self._patch_tags(resource_id, "Merge", tags)

    def untag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Take `tags` off a resource, each where it has that value still."""
        self._patch_tags(resource_id, "Delete", tags)

    def _patch_tags(self, resource_id: str, operation: str, tags: Mapping[str, str]) -> None:
        patch = {"operation": operation, "properties": {"tags": dict(tags)}}
        where = f"tags of {resource_id.rpartition('/')[2]}"
        with translated(where):
            update = self._client.tags.begin_update_at_scope
            _finish(update(resource_id, patch, retry_on_methods=AGAIN), where)

    def _where(self, group: str) -> str:
        return f"resource group {group} of subscription {self._subscription}"


class ArmResources:
    """Any resource by its id, of types that no SDK offers. Raises TimedOut after `limit` s."""

    def __init__(self, session: AzureSession, api_version: str, limit: float = LIMIT) -> None:
        self._client = ResourceManagementClient(**session.options).resources
        self._version = {"api_version": api_version}
        self._limit = limit

    def exists(self, id_: str) -> bool:
        """Whether there is such a resource."""
        return existing(_where(id_), self._client.get_by_id, id_, **self._version) is not None

    def get(self, id_: str) -> Mapping[str, Any] | None:
        """The resource as the service tells it, if there is one."""
        found = existing(_where(id_), self._client.get_by_id, id_, **self._version)
        return dict(found.as_dict()) if found is not None else None

    def begin_tag(self, id_: str, tags: Mapping[str, str]) -> Any:
        """Begin to give the resource these tags and no others; the poller. Errors are the SDK's."""
        update = self._client.begin_update_by_id
        return update(id_, {"tags": dict(tags)}, retry_on_methods=AGAIN, **self._version)

    def put(self, id_: str, properties: Mapping[str, Any], **facts: Any) -> None:
        """Create or change the resource, with its location, tags and the like as `facts`, and wait
        for that."""
        body, where = {**facts, "properties": dict(properties)}, _where(id_)
        with translated(where):
            begun = self._client.begin_create_or_update_by_id(id_, body, **self._version)
            _finish(begun, where, self._limit)

    def delete(self, id_: str) -> None:
        """Delete the resource, which may be gone already, and wait for that."""
        where = _where(id_)
        with translated(where), suppress(ResourceNotFoundError):
            _finish(self._client.begin_delete_by_id(id_, **self._version), where, self._limit)


def _tagged(found: Any) -> TaggedResource:
    state, sku = getattr(found, "provisioning_state", None), getattr(found, "sku", None)
    place, capacity = found.location or "", getattr(sku, "capacity", None) or 0
    facts = (found.id, found.name, found.type, place, dict(found.tags or {}))
    return TaggedResource(*facts, state or "", int(capacity))


def _finish(begun: Any, where: str, limit: float = LIMIT) -> None:
    begun.wait(limit)
    if not begun.done():
        raise TimedOut(
            f"{where}: still {begun.status()} after {limit:g} s; run the same command again"
        )
    begun.result()


def _where(id_: str) -> str:
    return "/".join(id_.rpartition("/providers/")[2].split("/")[1:])
