"""What each part of a workspace is made with: the body of its PUT, in which values may be
expressions. `place` is the resource's location and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.clients import azure_bodies

Body = dict[str, Any]


def storage_account(place: Mapping[str, Any], keys: Any) -> Body:
    """A storage account that its `keys` open only where that is true."""
    body = azure_bodies.storage_account(place)
    properties = {"allowSharedKeyAccess": keys, "defaultToOAuthAuthentication": True}
    return {**body, "properties": {**body["properties"], **properties}}


def insights_component(place: Mapping[str, Any], logs: str) -> Body:
    """An Application Insights component. The containers of endpoints send to it by its key."""
    body = azure_bodies.insights_component(place, logs)
    return {**body, "properties": {**body["properties"], "DisableLocalAuth": False}}


def vault_properties(days: Any) -> Body:
    """Of a key vault that roles open, and that nobody can purge: for so many `days` after its
    deletion it can be recovered, and its name is not free."""
    return {
        "tenantId": "[subscription().tenantId]",
        "sku": {"family": "A", "name": "standard"},
        "accessPolicies": [],
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "enablePurgeProtection": True,
        "softDeleteRetentionInDays": days,
    }


def registry(place: Mapping[str, Any], sku: Any) -> Body:
    """A container registry without an admin user."""
    return {**place, "sku": {"name": sku}, "properties": {"adminUserEnabled": False}}


def workspace(place: Mapping[str, Any], properties: Mapping[str, Any]) -> Body:
    """A workspace with an identity of its own, to which Azure gives what it needs."""
    sku = {"name": "Basic", "tier": "Basic"}
    identity = {"type": "SystemAssigned"}
    own = {**properties, "v1LegacyMode": False}
    return {**place, "kind": "Default", "sku": sku, "identity": identity, "properties": own}


def compute_cluster(
    place: Mapping[str, Any], identity: str, size: Any, priority: Any, nodes: Any
) -> Body:
    """A compute cluster that costs nothing while no job runs, and works as `identity`."""
    scale = {"minNodeCount": 0, "maxNodeCount": nodes, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    properties = {
        "vmSize": size,
        "vmPriority": priority,
        "osType": "Linux",
        "remoteLoginPortPublicAccess": "Disabled",
        "scaleSettings": scale,
    }
    cluster = {"computeType": "AmlCompute", "disableLocalAuth": True, "properties": properties}
    by = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    return {**place, "identity": by, "properties": cluster}
