"""Computes of a workspace: clusters that are attached to it, and those that are made in it.

Only what is attached can be anything but AmlCompute; nothing of it is made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource, Store

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


def refused_endpoint(store: Store, old: Resource | None, facts: Mapping[str, Any]) -> Answer | None:
    """Why an endpoint may not be on its compute, or not have what it has there."""
    compute = facts.get("compute") or ""
    if old and (old["properties"].get("compute") or "").lower() != compute.lower():
        return error(400, "BadRequest", "The compute of an endpoint cannot be changed.")
    if not compute:
        return None
    found = store.get(compute)
    if found is None or found["properties"]["computeType"] != "Kubernetes":
        return error(400, "BadRequest", f"{compute} is not a Kubernetes compute of the workspace.")
    if facts.get("mirrorTraffic") or facts["authMode"].lower() == "aadtoken":
        return error(400, "BadRequest", "Not supported by Kubernetes online endpoints.")
    return None


def refused_deployment(store: Store, endpoint: Resource, facts: Mapping[str, Any]) -> Answer | None:
    """Why a deployment does not fit its endpoint's compute."""
    compute = endpoint["properties"].get("compute")
    kind, scaled = facts["endpointComputeType"], facts.get("scaleSettings") or {}
    if kind != ("Kubernetes" if compute else "Managed"):
        return error(400, "BadRequest", f"A deployment of type {kind} is not for this endpoint.")
    if not compute:
        own = "containerResourceRequirements" in facts or scaled.get("scaleType") not in _SCALED
        return error(400, "BadRequest", "Only on Kubernetes: resources, scaling.") if own else None
    if "egressPublicNetworkAccess" in facts:
        return error(400, "BadRequest", "egressPublicNetworkAccess is a managed deployment's.")
    kinds = (store.get(compute) or {})["properties"]["properties"]["instanceTypes"]
    if facts["instanceType"] not in kinds:
        return error(400, "BadRequest", f"no instance type {facts['instanceType']}")
    if scaled.get("minInstances", 1) > scaled.get("maxInstances", 1000):
        return error(400, "BadRequest", "minInstances is more than maxInstances")
    return None


_SCALED = (None, "Default")


def fill_deployment(store: Store, resource: Resource) -> None:
    """Give a pod the resources of its instance type, as the service does: the SDK reads them."""
    endpoint = store.get(resource["id"].partition("/deployments/")[0]) or {"properties": {}}
    if compute := store.get(endpoint["properties"].get("compute") or ""):
        facts = resource["properties"]
        kinds = compute["properties"]["properties"]["instanceTypes"]
        own = kinds[facts["instanceType"]]["resources"]
        given = {f"containerResource{key.title()}": own[key] for key in ("requests", "limits")}
        facts.setdefault("containerResourceRequirements", given)
