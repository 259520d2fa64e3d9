"""Things of others' beside ours: generated, put into the fake, and read again as they are.

A thing is foreign by its name, or by its mark, or by both; some have our very names, and no mark.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from onnxferry.infra.functions.app_settings import RECORD, TELEMETRY
from tests.fakes.azure.blob import Blob
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers import given
from tests.infra.functions.azure_account import APP, AzureAccount

SHA = "ab" * 32
OURS = (f"{APP}-candidate", f"{APP}-plan", f"{APP}-logs", f"{APP}-insights", APP)
NEAR = (f"{APP}2", f"{APP}-candidate-2", f"onnxferry-app-{APP}2", "Squad-V2", "photos", "x")
MARKS: tuple[Mapping[str, str], ...] = ({}, {"onnxferry": "other"}, {"owner": "me"})
OWN = "onnxferry"
OTHERS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/networks"  # a group of others'
_TYPES = {  # types beside those that deploying makes, and those
    "Microsoft.Network/virtualNetworks": OURS,
    "Microsoft.ManagedIdentity/userAssignedIdentities": OURS,
    "Microsoft.KeyVault/vaults": OURS,
    "Microsoft.Web/sites": (f"{APP}-candidate", f"{APP}-plan"),
    "Microsoft.Web/serverfarms": (f"{APP}-candidate-plan", APP),
    "Microsoft.Storage/storageAccounts": (APP,),
    "Microsoft.OperationalInsights/workspaces": (APP, f"{APP}-candidate"),
    "Microsoft.Insights/components": (APP, f"{APP}-candidate"),
}
Place = Callable[[AzureAccount], None]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Foreign:
    """`kind` says what `place` does with `name`, `more` and `tags`."""

    kind: str
    name: str
    more: str = ""
    tags: tuple[tuple[str, str], ...] = ()

    def place(self, azure: AzureAccount) -> None:
        """Put it there, where what it needs is there."""
        _PLACES[self.kind](azure, self)


def _resource(azure: AzureAccount, one: Foreign) -> None:
    group = azure.group_id if one.name != "elsewhere" else f"{azure.group_id}-2"
    path, facts = f"{group}/providers/{one.more}/{one.name}", {"foreign": True}
    if azure.fake.store.get(path) is None:
        own = {"serverFarmId": "none", "functionAppConfig": {}} if "sites" in one.more else {}
        resource = {"location": "westeurope", "tags": dict(one.tags), "properties": facts | own}
        azure.fake.store.put(path, resource)


def _container(azure: AzureAccount, one: Foreign) -> None:
    account = azure.names.account
    path = f"{azure.names.account_id}/blobServices/default/containers/{one.name.lower()}"
    if account in azure.blobs.accounts and azure.fake.store.get(path) is None:
        azure.blobs.create(account, one.name.lower())
        azure.fake.store.put(path, {"properties": {"metadata": dict(one.tags)}, "foreign": True})


def _blob(azure: AzureAccount, one: Foreign) -> None:
    container = azure.blobs.accounts.get(azure.names.account, {}).get("onnxferry-packages")
    if container is not None:
        container.setdefault(one.name, Blob(b"theirs", dict(one.tags)))


def _role(azure: AzureAccount, one: Foreign) -> None:
    scope = azure.names.account_id if one.more == "account" else azure.group_id
    if azure.fake.store.get(scope):
        facts = {
            "principalId": "somebody",
            "roleDefinitionId": "x/ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            "description": dict(one.tags).get("description", ""),
        }
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{one.name}"
        azure.fake.store.put(path, {"properties": facts, "foreign": True})


def _setting(azure: AzureAccount, one: Foreign) -> None:
    if azure.apps.site(APP) and one.name not in azure.apps.settings(APP):
        azure.apps.app_settings[APP] |= {one.name: "theirs"}


def _tag(azure: AzureAccount, one: Foreign) -> None:
    ids = {"group": azure.group_id, "account": azure.names.account_id}
    ids["app"] = f"{azure.group_id}/providers/Microsoft.Web/sites/{APP}"
    if found := azure.fake.store.get(ids[one.more]):
        found.setdefault("tags", {}).setdefault(one.name, "theirs")


def _attached(azure: AzureAccount, one: Foreign) -> None:
    site = azure.apps.site(APP)
    if site is None:
        return
    facts = site["properties"]
    if one.more == "network":
        facts |= {
            "virtualNetworkSubnetId": given.subnet(azure.fake, OTHERS, one.name),
            "outboundVnetRouting": {"allTraffic": True},
        }
    elif one.more == "restriction":
        facts["siteConfig"]["ipSecurityRestrictions"] = [{"ipAddress": "10.0.0.0/8"}]
    elif one.more == "sign-in":
        azure.apps.sign_in.settings[APP] = {
            "platform": {"enabled": True},
            "globalValidation": {"requireAuthentication": False, "redirectToProvider": one.name},
        }
    elif one.more == "always ready":
        facts["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"] = [
            {"name": "http", "instanceCount": 1}
        ]
    else:
        site["identity"] |= {"type": "SystemAssigned, UserAssigned"}
        id_ = given.identity(azure.fake, OTHERS, one.name)
        site["identity"]["userAssignedIdentities"] = {id_: {"principalId": "p"}}


_PLACES: Mapping[str, Callable[[AzureAccount, Foreign], None]] = {
    "resource": _resource,
    "container": _container,
    "blob": _blob,
    "role": _role,
    "setting": _setting,
    "tag": _tag,
    "attached": _attached,
}
_SOME_TAGS = st.sampled_from([tuple(mark.items()) for mark in MARKS])


def _named(kind: str) -> st.SearchStrategy[Foreign]:
    names = st.sampled_from([*_TYPES[kind], *NEAR, "elsewhere"])
    return st.builds(Foreign, st.just("resource"), names, st.just(kind), _SOME_TAGS)


_BLOBS = st.sampled_from(
    [
        f"other/{SHA}.zip",
        f"{APP}/README.md",
        f"{APP}/{SHA}.zip",
        f"{APP}/train/{SHA}.zip",
        f"{APP}/{SHA}.zip.bak",
        f"{APP}2/{SHA}.zip",
        f"{APP}2/lease.json",
        "model.safetensors",
    ]
)
_MARKED = st.sampled_from([f"{APP}/train/{SHA}.zip", f"{APP}/{SHA}.bin", f"old/{APP}/{SHA}.zip"])
_DESCRIBED = st.sampled_from([(), (("description", f"onnxferry: {APP}"),)])
THINGS = st.one_of(
    st.sampled_from(sorted(_TYPES)).flatmap(_named),
    st.builds(Foreign, st.just("container"), st.sampled_from(NEAR), st.just(""), _SOME_TAGS),
    st.builds(Foreign, st.just("blob"), _BLOBS, st.just(""), _SOME_TAGS),
    st.builds(Foreign, st.just("blob"), _MARKED, st.just(""), st.just(((OWN, APP),))),
    st.builds(
        Foreign,
        st.just("role"),
        st.uuids().map(str),
        st.sampled_from(["account", "group"]),
        _DESCRIBED,
    ),
    st.builds(Foreign, st.just("setting"), st.from_regex(r"[A-Z]{2,8}", fullmatch=True)),
    st.builds(
        Foreign,
        st.just("tag"),
        st.sampled_from(["owner", "Team", "cost"]),
        st.sampled_from(["group", "account", "app"]),
    ),
    st.builds(
        Foreign,
        st.just("attached"),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["network", "restriction", "always ready", "identity", "sign-in"]),
    ),
)
WORLDS = st.lists(THINGS, max_size=8)


def foreign(azure: AzureAccount, before: Mapping[Key, Any] | None = None) -> dict[Key, Any]:
    """All that is not ours, by what it is; of what was there `before`, also where it is no longer
    foreign by itself. A deep copy."""
    return copy.deepcopy(dict(_found(azure, before)))


def _found(azure: AzureAccount, before: Mapping[Key, Any] | None) -> Iterator[tuple[Key, Any]]:
    key: Key
    for resource in azure.fake.store.everything():
        key = ("resource", str(resource["id"]).lower())
        mine = resource.get("foreign") or resource.get("properties", {}).get("foreign")
        if mine if before is None else key in before:
            yield key, resource
    for container, blobs in azure.blobs.accounts.get(azure.names.account, {}).items():
        for name, blob in blobs.items():
            key = ("blob", container, name)
            if blob.data == b"theirs" if before is None else key in before:
                yield key, (blob.data, blob.metadata)
    if site := azure.apps.site(APP):
        yield from _of_app(azure, site)
    for scope in (azure.group_id, azure.names.account_id):
        tags = (azure.fake.store.get(scope) or {}).get("tags") or {}
        yield from ((("tag", scope, k), v) for k, v in tags.items() if v == "theirs")


def _of_app(azure: AzureAccount, site: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    facts = site["properties"]
    settings = azure.apps.settings(APP)
    ours = {*settings.get(RECORD, "").split(), RECORD, *TELEMETRY}
    theirs = {k: v for k, v in settings.items() if k not in ours and v == "theirs"}
    yield from ((("of app", "setting", name), value) for name, value in theirs.items())
    tags = {k: v for k, v in site["tags"].items() if v == "theirs"}
    yield from ((("of app", "tag", name), value) for name, value in tags.items())
    keys = ("virtualNetworkSubnetId", "outboundVnetRouting", "httpsOnly", "siteConfig")
    yield from ((("of app", key), facts.get(key)) for key in keys)
    yield ("of app", "identities"), sorted(site["identity"].get("userAssignedIdentities") or ())
    scale = (facts.get("functionAppConfig") or {}).get("scaleAndConcurrency") or {}
    yield ("of app", "always ready"), scale.get("alwaysReady")
    yield ("of app", "sign-in"), azure.apps.sign_in.of(APP)
