"""Computes of a workspace: clusters that are attached to it, and those that are made in it.

Only what is attached can be anything but AmlCompute; nothing of it is made here.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

COMPUTES = "Microsoft.MachineLearningServices/workspaces/computes"
_COMPUTE = {
    "location": MAY,
    "tags": ANY,
    "identity": ANY,
    "properties": {NEEDED: True, "computeType": NEEDED, "properties": ANY, "description": MAY}
    | {"computeLocation": MAY, "resourceId": MAY, "disableLocalAuth": MAY},
}


def types() -> tuple[ResourceType, ...]:
    """The type, whose PUT and DELETE take time."""
    return (ResourceType(COMPUTES, _COMPUTE, slow=True, check=_check, fill=_fill),)


def attach_cluster(
    fake: AzureFake, workspace: str, name: str = "cluster", *, state: str = "Succeeded"
) -> Resource:
    """Attach a Kubernetes cluster with two instance types to the workspace of that id."""
    resources = {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}
    kinds = {"defaultinstancetype": {"resources": resources}, "big": {"resources": resources}}
    group = workspace.partition("/providers/")[0]
    properties = {
        "computeType": "Kubernetes",
        "provisioningState": state,
        "resourceId": f"{group}/providers/Microsoft.ContainerService/managedClusters/{name}",
        "isAttachedCompute": True,
        "properties": {
            "namespace": "default",
            "defaultInstanceType": "defaultinstancetype",
            "instanceTypes": kinds,
        },
    }
    facts = {"location": "westeurope", "properties": properties}
    return fake.store.put(f"{workspace}/computes/{name}", facts)


def _check(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
    if old and old["properties"]["computeType"] != body["properties"]["computeType"]:
        return error(400, "BadRequest", "The type of a compute cannot be changed.")
    return None


def _fill(resource: Resource) -> None:
    own = resource["properties"].get("properties") or {}
    resource["properties"]["properties"] = own
    resource["properties"].setdefault("provisioningErrors", None)
