"""What all resource types share at the resource manager: PUT, PATCH, GET, HEAD, DELETE, lists, and
their refusals.

A service's provider is a table of ResourceType and, for what is its own, further routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import signed_in
from tests.fakes.azure.operations import Failure, FakeOperations
from tests.fakes.azure.shapes import complaints
from tests.fakes.azure.store import Resource, Store, type_of


@dataclass(frozen=True)
class ResourceType:
    """How a type behaves: the shape of a PUT's body; `slow` when a PUT or DELETE is an asynchronous
    operation; `location` when that is polled by Location; `deletes_slowly` where a DELETE differs
    from a PUT in that; `created` is the status of a PUT that creates; `fill` adds what the service
    itself sets; `check` refuses; `replaces` where a PUT drops what its body leaves out."""

    name: str
    shape: Mapping[str, Any]
    slow: bool = False
    location: bool = False
    deletes_slowly: bool | None = None
    created: int = 201
    replaces: bool = False
    fill: Callable[[Resource], None] = lambda resource: None
    check: Callable[[Call, Resource | None, dict[str, Any]], Answer | None] = (
        lambda call, old, body: None
    )
    on_delete: Callable[[Resource], Answer | None] = lambda resource: None
    # called when the resource has become ready
    ends: Callable[[Resource], None] = lambda resource: None


@dataclass
class Arm:
    """The resource manager. `failures` maps a type (lower case) to the (code, message) with which
    its next PUT's operation fails, or the whole of its error; `denied` holds "METHOD type" that the
    signed-in user may not do; `refusals` are like failures, but at once: type -> (status, code,
    message), or the whole Answer."""

    base: str
    store: Store
    operations: FakeOperations
    types: dict[str, ResourceType] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str, str] | Answer] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    puts: list[tuple[str, str, dict[str, Any]]] = field(
        default_factory=list
    )  # (api-version, type, body), for contracts

    def add(self, *types: ResourceType) -> None:
        self.types |= {t.name.lower(): t for t in types}

    @property
    def routes(self) -> tuple[Route, ...]:
        return (Route("GET HEAD PUT PATCH DELETE", r"/subscriptions/.*", self._answer),)

    def refuse(self, call: Call) -> Answer | None:
        """What every call to the resource manager must pass: a token, an api-version, a
        permission."""
        if not signed_in(call):
            return error(
                401,
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is invalid.",
            )
        if "api-version" not in call.query:
            return error(
                400, "MissingApiVersionParameter", "The api-version query parameter is required."
            )
        if f"{call.method} {type_of(call.path)}".lower() in {
            entry.lower() for entry in self.denied
        }:
            action = {"PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(call.method, "read")
            return error(
                403,
                "AuthorizationFailed",
                "The client does not have authorization to perform action"
                f" '{type_of(call.path)}/{action}' over scope '{call.path}' or the scope is"
                " invalid.",
            )
        return None

    def _answer(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.refuse(call):
            return refusal
        type_ = self.types.get(type_of(call.path).lower())
        is_list = type_ is None or (
            call.path.strip("/").count("/") % 2 == 0 and call.method == "GET"
        )
        if call.method == "GET" and is_list and self.store.get(call.path) is None:
            return self._list(call)
        if type_ is None:
            return error(
                404, "InvalidResourceType", f"The resource type of {call.path} could not be found."
            )
        handlers = {"GET": self._get, "HEAD": self._get, "DELETE": self._delete}
        if call.method in handlers:
            return handlers[call.method](call, type_)
        return self._put(call, type_)

    def _get(self, call: Call, type_: ResourceType) -> Answer:
        self.operations.advance()
        found = self.store.get(call.path)
        if found is None:
            return Answer(404) if call.method == "HEAD" else missing(call.path)
        return Answer(204) if call.method == "HEAD" else Answer(200, found)

    def _list(self, call: Call) -> Answer:
        self.operations.advance()
        names = {key.rpartition("/")[2] for key in self.types}
        if call.path.rstrip("/").rpartition("/")[2].lower() not in names:
            return error(
                404, "InvalidResourceType", f"The resource type of {call.path} could not be found."
            )
        return Answer(200, {"value": self.store.children(call.path)})

    def _put(self, call: Call, type_: ResourceType) -> Answer:
        old = self.store.get(call.path)
        body = call.json if call.method == "PUT" or old is None else merged(old, call.json)
        if call.method == "PATCH" and old is None:
            return missing(call.path)
        if call.method == "PUT":
            self.puts.append((call.query["api-version"], type_.name, body))
            if wrong := list(complaints(body, dict(type_.shape))):
                return error(400, "InvalidRequestContent", f"{type_.name}: {'; '.join(wrong)}")
        if refusal := self._refusal(call, type_, old, body):
            return refusal
        resource = self.store.put(call.path, merged({} if type_.replaces else _kept(old), body))
        resource["properties"] = dict(resource.get("properties") or {})
        type_.fill(resource)
        if not type_.slow:
            resource["properties"]["provisioningState"] = "Succeeded"
            type_.ends(resource)
            return Answer(200 if old else type_.created, resource)
        return self._slowly(type_, resource, new=old is None)

    def _refusal(
        self, call: Call, type_: ResourceType, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        if refusal := self.refusals.pop(type_.name.lower(), None):
            return refusal if isinstance(refusal, Answer) else error(*refusal)
        group = re.match(r"/subscriptions/[^/]+/resourcegroups/[^/]+", call.path, re.IGNORECASE)
        if (
            group
            and type_.name != "Microsoft.Resources/resourceGroups"
            and self.store.get(group[0]) is None
        ):
            return error(
                404,
                "ResourceGroupNotFound",
                f"Resource group '{group[0].rpartition('/')[2]}' could not be found.",
            )
        return type_.check(call, old, body)

    def _slowly(self, type_: ResourceType, resource: Resource, *, new: bool) -> Answer:
        failure = self.failures.pop(type_.name.lower(), None)
        resource["properties"]["provisioningState"] = "Creating" if new else "Updating"

        def done() -> None:
            resource["properties"]["provisioningState"] = "Failed" if failure else "Succeeded"
            if not failure:
                type_.ends(resource)

        headers = self.operations.start(self.base, done, failure, location=type_.location)
        return Answer(type_.created if new else 200, resource, headers)

    def _delete(self, call: Call, type_: ResourceType) -> Answer:
        found = self.store.get(call.path)
        if found is None:
            return Answer(204)
        if refusal := type_.on_delete(found):
            return refusal
        if not (type_.slow if type_.deletes_slowly is None else type_.deletes_slowly):
            self._remove(call.path)
            return Answer(200)
        found.setdefault("properties", {})["provisioningState"] = "Deleting"
        headers = self.operations.start(
            self.base, lambda: self._remove(call.path), location=type_.location
        )
        return Answer(202, None, headers)

    def _remove(self, id_: str) -> None:
        """Remove a resource with all below it, where its services have no say."""
        for one in self.store.delete(id_):
            type_ = self.types.get(one["type"].lower())
            if type_ and one["id"].lower() != id_.lower().rstrip("/"):
                type_.on_delete(one)


def missing(id_: str) -> Answer:
    return error(
        404,
        "ResourceNotFound",
        f"The Resource '{type_of(id_)}/{id_.rpartition('/')[2]}' was not found.",
    )


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with `new` laid over it; of properties, too, since services keep what they set
    themselves."""
    properties = {**(old.get("properties") or {}), **(new.get("properties") or {})}
    return {**old, **new, "properties": properties}


def _kept(old: Resource | None) -> Resource:
    return (
        {key: old[key] for key in ("identity", "properties", "systemData") if key in old}
        if old
        else {}
    )
