"""The resource manager's state: resources by their ids, which are the same in any case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# as the resource manager gives it: id, name, type, location, tags, properties ...
Resource = dict[str, Any]


class Store:
    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}

    def get(self, id_: str) -> Resource | None:
        return self._resources.get(_key(id_))

    def put(self, id_: str, resource: Resource) -> Resource:
        """Keep `resource` under `id_`, with id, name and type set."""
        resource |= {"id": id_, "name": id_.rstrip("/").rpartition("/")[2], "type": type_of(id_)}
        self._resources[_key(id_)] = resource
        return resource

    def delete(self, id_: str) -> list[Resource]:
        """Delete a resource and all below it; what was deleted."""
        below = [
            key for key in self._resources if key == _key(id_) or key.startswith(_key(id_) + "/")
        ]
        return [self._resources.pop(key) for key in below]

    def children(self, id_: str) -> list[Resource]:
        """The resources one name below the collection `id_` (".../sites")."""
        start = _key(id_) + "/"
        return [
            r
            for key, r in self._resources.items()
            if key.startswith(start) and "/" not in key[len(start) :]
        ]

    def everything(self) -> list[Resource]:
        """All resources of all types."""
        return list(self._resources.values())

    def all(self, type_: str) -> Iterator[Resource]:
        """All resources of a type ("Microsoft.Web/sites")."""
        return (r for r in list(self._resources.values()) if r["type"].lower() == type_.lower())


def type_of(id_: str) -> str:
    """ "Microsoft.Web/sites" of a resource's id; of one without a provider,
    "Microsoft.Resources/resourceGroups"."""
    _, found, rest = id_.rpartition("/providers/")
    if not found:
        return "Microsoft.Resources/resourceGroups"
    provider, *parts = rest.strip("/").split("/")
    return "/".join((provider, *parts[::2]))


def _key(id_: str) -> str:
    return "/" + id_.strip("/").lower()
