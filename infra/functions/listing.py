"""All that onnxferry made for function apps in a subscription, by its tag."""

from __future__ import annotations

from collections.abc import Iterable

from onnxferry.infra.clients.azure_groups import TaggedResource
from onnxferry.infra.cloud import Listed
from onnxferry.infra.functions.names import DEPLOYED, MADE, VERSION

_KINDS = {
    "microsoft.resources/resourcegroups": "resource group",
    "microsoft.storage/storageaccounts": "storage account",
    "microsoft.web/serverfarms": "plan",
    "microsoft.web/sites": "app",
    "microsoft.insights/components": "Application Insights",
    "microsoft.operationalinsights/workspaces": "Log Analytics workspace",
}


def listed(found: Iterable[TaggedResource]) -> list[Listed]:
    """A line for each resource of ours. What an app costs depends on its requests."""
    return [_one(kind, one) for one in found if (kind := _KINDS.get(one.type.lower()))]


def _one(kind: str, one: TaggedResource) -> Listed:
    version, app = one.tags.get(VERSION, "")[:12], kind == "app"
    state = ("serves" if version else "not proved") if app else "made"
    place, hours = f"{one.group}, {one.location}", None if app else 0
    when = one.tags.get(DEPLOYED, "")
    return Listed(kind, one.name, one.tags[MADE], version, state, when, place, hours)
