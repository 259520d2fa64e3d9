"""What each resource of a function app is made with: the body of its PUT, for the clients, and for
templates, where a value may be an expression. `place` is the resource's location and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Body = dict[str, Any]


def storage_account(place: Mapping[str, Any]) -> Body:
    """A storage account that only identities can open."""
    properties = {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
        "defaultToOAuthAuthentication": True,
    }
    kind = {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    return {**place, **kind, "properties": properties}


def container(metadata: Any) -> Body:
    """A blob container that nobody reads without a role."""
    return {"properties": {"publicAccess": "None", "metadata": metadata}}


def log_workspace(place: Mapping[str, Any]) -> Body:
    """A Log Analytics workspace that keeps logs for 30 days, which costs nothing besides what it
    takes in."""
    return {**place, "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30}}


def insights_component(place: Mapping[str, Any], workspace: str) -> Body:
    """An Application Insights component on the workspace of that id. Only identities with a role
    may send to it, since its connection string stands in settings that many may read."""
    properties = {"Application_Type": "web", "WorkspaceResourceId": workspace}
    return {**place, "kind": "web", "properties": {**properties, "DisableLocalAuth": True}}


def app_plan(place: Mapping[str, Any]) -> Body:
    """A Flex Consumption plan."""
    kind = {"kind": "functionapp", "sku": {"name": "FC1", "tier": "FlexConsumption"}}
    return {**place, **kind, "properties": {"reserved": True}}


def role_assignment(definition: str, principal: str, kind: str, description: str) -> Body:
    """The role of the id `definition` for `principal`, an object id; `kind` is User, Group or
    ServicePrincipal."""
    facts = {"roleDefinitionId": definition, "principalId": principal}
    return {"properties": {**facts, "principalType": kind, "description": description}}
