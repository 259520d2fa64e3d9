"""What users make and give an app: virtual networks with subnets, and user-assigned identities. An
app may only have what is there, and a subnet that is delegated to it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, error
from tests.fakes.azure.shapes import ANY
from tests.fakes.azure.store import Resource, Store

NETWORKS = "Microsoft.Network/virtualNetworks"
SUBNETS = f"{NETWORKS}/subnets"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
DELEGATION = "Microsoft.App/environments"


def types() -> tuple[ResourceType, ...]:
    """Only read by what is tested."""
    return tuple(ResourceType(name, {"location": ANY}) for name in (NETWORKS, SUBNETS, IDENTITIES))


def subnet(fake: AzureFake, group: str, name: str = "apps", service: str = DELEGATION) -> str:
    """Make a subnet that is delegated to `service` ("" for none); its id."""
    network = f"{group}/providers/{NETWORKS}/net"
    if fake.store.get(network) is None:
        fake.store.put(network, {"location": "westeurope", "properties": {}})
    to = [{"name": "to", "properties": {"serviceName": service}}] if service else []
    facts = {"addressPrefix": "10.0.1.0/24", "delegations": to}
    id_ = f"{network}/subnets/{name}"
    fake.store.put(id_, {"properties": facts})
    return id_


def identity(fake: AzureFake, group: str, name: str = "serving") -> str:
    """Make a user-assigned identity, which has no role; its id."""
    id_ = f"{group}/providers/{IDENTITIES}/{name}"
    facts = {kind: str(uuid.uuid5(uuid.NAMESPACE_URL, kind + id_)) for kind in _FACTS}
    fake.store.put(id_, {"location": "westeurope", "properties": facts})
    return id_


_FACTS = ("clientId", "principalId")


def identities(store: Store, site: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """The identities that are assigned to an app, by their client ids."""
    given = (site.get("identity") or {}).get("userAssignedIdentities") or {}
    found = [r["properties"] for id_ in given if (r := store.get(id_))]
    return {one["clientId"]: one for one in found}


def refused(store: Store, site: Mapping[str, Any]) -> Answer | None:
    """Why an app may not have the subnet and the identities in the body of its PUT."""
    subnet_ = site["properties"].get("virtualNetworkSubnetId")
    if subnet_ and (refusal := _unfit(store.get(subnet_), subnet_)):
        return refusal
    given = (site.get("identity") or {}).get("userAssignedIdentities") or {}
    for id_ in given:
        if store.get(id_) is None:
            return error(400, "FailedIdentityOperation", f"{id_} was not found.")
    storage = site["properties"]["functionAppConfig"]["deployment"]["storage"]
    return _unopened(storage["authentication"], {id_.lower() for id_ in given})


def _unfit(found: Resource | None, id_: str) -> Answer | None:
    if found is None:
        return error(404, "NotFound", f"The subnet {id_} was not found.")
    if "_" in found["name"]:
        return error(400, "BadRequest", f"The subnet name {found['name']} has an underscore.")
    to = [one["properties"]["serviceName"] for one in found["properties"].get("delegations", ())]
    if DELEGATION not in to:
        said = f"The subnet {id_} is not delegated to {DELEGATION}; it is to {to}."
        return error(400, "SubnetMissingRequiredDelegation", said)
    return None


def _unopened(authentication: Mapping[str, Any], given: set[str]) -> Answer | None:
    id_ = str(authentication.get("userAssignedIdentityResourceId") or "").lower()
    by = {"SystemAssignedIdentity": id_ == "", "UserAssignedIdentity": id_ in given}
    if by.get(authentication["type"]):
        return None
    return error(400, "BadRequest", f"deployment.storage.authentication: {authentication}")
