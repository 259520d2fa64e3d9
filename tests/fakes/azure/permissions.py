"""Which actions of Azure's role-based access a call needs, and the roles that decide whether its
caller has them.

The resource manager makes an action of a call's type and method: a GET of .../sites/NAME is
Microsoft.Web/sites/read, a POST of .../host/default/listkeys Microsoft.Web/sites/host/listkeys
/action. What differs is in the tables. Blobs and publishing have actions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.blob import HOST as BLOB_HOST
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.login import PRINCIPAL, signed_in
from tests.fakes.azure.store import Store, type_of

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_POSTS = {  # a POST that is called otherwise, in lower case
    "microsoft.web/checknameavailability": "Microsoft.Web/checknameavailability/read",
    "microsoft.storage/checknameavailability": "Microsoft.Storage/checknameavailability/read",
}
_LISTS = {  # what has no provider in its path, below the subscription
    "resourcegroups": "Microsoft.Resources/subscriptions/resourceGroups/",
    "resourcegroups/resources": "Microsoft.Resources/subscriptions/resourceGroups/resources/",
    "resources": "Microsoft.Resources/subscriptions/resources/",
    "": "Microsoft.Resources/subscriptions/",
    "resourcegroups/deployments/operations": "Microsoft.Resources/deployments/operations/",
    "operationresults": "Microsoft.Resources/subscriptions/operationresults/",
}
_JOINS = {
    "serverFarmId": "Microsoft.Web/serverfarms/join/action",
    "virtualNetworkSubnetId": "Microsoft.Network/virtualNetworks/subnets/join/action",
}
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/"
_ACCOUNTS, _SITES = "Microsoft.Storage/storageAccounts", "Microsoft.Web/sites"
_LOGS = "Microsoft.OperationalInsights/workspaces"
_QUERY = re.compile(r"/v1/workspaces/(?P<id>[^/]+)/query", re.IGNORECASE)
_SCM = re.compile(r"(?P<app>[\w-]+)\.scm\.localhost(:\d+)?", re.IGNORECASE)
_BATCHES = "Microsoft.MachineLearningServices/workspaces/batchEndpoints"
_BATCH = re.compile(r"(?P<endpoint>[^.]+)\.inference\.ml\.localhost(:\d+)?", re.IGNORECASE)
_JOBS = re.compile(r"/mferp/managementfrontend(?P<endpoint>/.+/batchEndpoints/[^/]+)/jobs")
_SUBSCRIPTION = re.compile(r"/subscriptions/[^/]+/?", re.IGNORECASE)
_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/[^/]+", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Permission:
    """`action` on `scope`, an id; `data` marks an action on data, which roles list apart."""

    action: str
    scope: str
    data: bool = False

    @property
    def at_group(self) -> bool:
        """Whether a role that is assigned at a resource group, which is there, can give it."""
        found = _GROUP.match(self.scope)
        return found is not None and (found[0] != self.scope or self.action.endswith("/read"))


@dataclass
class Authorizer:
    """Asks `allows` of each permission that a call needs: all of them unless a test says otherwise.
    `used` and `refused` are what it was asked."""

    store: Store
    allows: Callable[[Permission], bool] = lambda permission: True
    used: set[Permission] = field(default_factory=set)
    refused: list[Permission] = field(default_factory=list)

    def check(self, call: Call) -> Answer | None:
        """What Azure answers a caller that lacks a permission; None where it has all."""
        for permission in needed(call, self.store):
            if not self.allows(permission):
                self.refused.append(permission)
                return denied(call, permission)
            self.used.add(permission)
        return None


def role(definition: Mapping[str, Any]) -> Callable[[Permission], bool]:
    """Whether a role of this definition, as `az role definition create` takes it, gives a
    permission."""

    def gives(permission: Permission) -> bool:
        given, taken = ("DataActions", "NotDataActions") if permission.data else _ACTIONS
        return _any(definition[given], permission) and not _any(definition[taken], permission)

    return gives


_ACTIONS = ("Actions", "NotActions")


def _any(patterns: list[str], permission: Permission) -> bool:
    return any(
        re.fullmatch(re.escape(p).replace(r"\*", ".*"), permission.action, re.IGNORECASE)
        for p in patterns
    )


def denied(call: Call, permission: Permission) -> Answer:
    """In the words of the resource manager, of blob storage, or of the SCM host."""
    if permission.data or (_BLOBS.lower() in permission.action.lower() and ".blob." in call.host):
        said = "This request is not authorized to perform this operation using this permission."
        body = (
            f"<Error><Code>AuthorizationPermissionMismatch</Code><Message>{said}</Message></Error>"
        )
        kind = {"Content-Type": "application/xml"}
        code = {"x-ms-error-code": "AuthorizationPermissionMismatch"}
        return Answer(403, body.encode(), {**kind, **code})
    if _SCM.fullmatch(call.host):
        return Answer(403)
    said = (
        f"The client '{PRINCIPAL}' with object id '{PRINCIPAL}' does not have authorization to"
        f" perform action '{permission.action}' over scope '{permission.scope}' or the scope is"
        " invalid. If access was recently granted, please refresh your credentials."
    )
    return error(403, "AuthorizationFailed", said)


def needed(call: Call, store: Store) -> Iterator[Permission]:
    """The permissions that a call needs of who is signed in; none where a key opens."""
    if not signed_in(call):
        return
    if match := re.fullmatch(BLOB_HOST, call.host, re.IGNORECASE):
        yield from (_blob(call, id_) for id_ in _ids(store, _ACCOUNTS, match["account"]))
    elif match := _SCM.fullmatch(call.host):
        sites = _ids(store, _SITES, match["app"])
        yield from (Permission(f"{_SITES}/publish/Action", id_) for id_ in sites)
    elif (match := _BATCH.fullmatch(call.host)) and call.path == "/jobs":
        for id_ in _ids(store, _BATCHES, match["endpoint"]):
            for below in ("jobs", "deployments/jobs"):
                yield Permission(f"{_BATCHES}/{below}/write", id_)
    elif match := _JOBS.fullmatch(call.path):
        yield Permission(f"{_BATCHES}/jobs/read", match["endpoint"])
    elif match := _QUERY.fullmatch(call.path):
        yield from _asked(call, store, match["id"])
    elif _SUBSCRIPTION.match(call.path):
        yield from _managed(call)


def _managed(call: Call) -> Iterator[Permission]:
    if "/providers/" not in call.path:
        below = _SUBSCRIPTION.sub("", call.path, count=1).strip("/").lower().split("/")
        action = _LISTS["/".join(below[::2])] + _VERBS[call.method]
    elif call.method == "POST":
        type_ = type_of(call.path)
        action = _POSTS.get(type_.lower(), f"{type_}/action")
    else:
        action = f"{type_of(call.path)}/{_VERBS[call.method]}"
    yield Permission(action, call.path.rstrip("/"))
    if call.method == "PUT":
        yield from _linked(call.json)


def _linked(body: Mapping[str, Any]) -> Iterator[Permission]:
    """What an app joins, and what is assigned to it."""
    facts = body.get("properties") or {}
    for key, action in _JOINS.items():
        if id_ := facts.get(key):
            yield Permission(action, id_)
    for id_ in (body.get("identity") or {}).get("userAssignedIdentities") or ():
        yield Permission("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", id_)


def _asked(call: Call, store: Store, customer: str) -> Iterator[Permission]:
    """Of a query in a Log Analytics workspace, which is named by its customer id."""
    for found in store.all(_LOGS):
        if found["properties"].get("customerId") == customer:
            yield Permission(f"{_LOGS}/query/read", found["id"])
            for table in re.findall(r"\bApp\w+", call.json["query"].partition("|")[0]):
                yield Permission(f"{_LOGS}/query/{table}/read", found["id"])


def _blob(call: Call, account: str) -> Permission:
    """Of a container itself by an action, of the blobs in it by one on data."""
    below, asked = call.path.strip("/"), call.query.get("comp")
    if "/" not in below and asked != "list":
        return Permission(_BLOBS + _VERBS[call.method], account)
    tags = "tags/" if asked == "tags" else ""
    return Permission(f"{_BLOBS}blobs/{tags}{_VERBS[call.method]}", account, data=True)


def _ids(store: Store, type_: str, name: str) -> Iterator[str]:
    """The id of the resource that has a host of this name; none where there is no such host."""
    return (r["id"] for r in store.all(type_) if r["name"].lower() == name.lower())
