"""Computes of a workspace: clusters that are attached to it, and those that are made in it.

What is attached can be anything, and is taken as it comes; nothing of it is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.providers.quotas import SIZES
from tests.fakes.azure.shapes import ANY, MAY, NEEDED, complaints
from tests.fakes.azure.store import Resource, Store

COMPUTES = "Microsoft.MachineLearningServices/workspaces/computes"
_COMPUTE = {
    "location": MAY,
    "tags": ANY,
    "identity": ANY,
    "properties": {NEEDED: True, "computeType": NEEDED, "properties": ANY, "description": MAY}
    | {"computeLocation": MAY, "resourceId": MAY, "disableLocalAuth": MAY},
}


_CLUSTER = {
    "vmSize": NEEDED,
    "vmPriority": MAY,
    "scaleSettings": {
        NEEDED: True,
        "minNodeCount": MAY,
        "maxNodeCount": NEEDED,
        "nodeIdleTimeBeforeScaleDown": MAY,
    },
    "remoteLoginPortPublicAccess": MAY,
    "enableNodePublicIp": MAY,
    "isolatedNetwork": MAY,
    "osType": MAY,
    "subnet": MAY,
    "userAccountCredentials": MAY,
}


def computes(store: Store, busy: Callable[[str], bool]) -> ResourceType:
    """The type, whose PUT and DELETE take time; `busy` tells whether a job is at work on the
    compute of an id."""

    def check(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        return _not_there(store, call, body) or _wrong(old, body["properties"])

    def check_delete(resource: Resource) -> Answer | None:
        if busy(resource["id"]):
            return error(409, "Conflict", "The compute has running jobs, and cannot be deleted.")
        return None

    return ResourceType(
        COMPUTES, _COMPUTE, slow=True, check=check, fill=_fill, on_delete=check_delete
    )


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


def _not_there(store: Store, call: Call, body: dict[str, Any]) -> Answer | None:
    if store.get(call.path.rpartition("/computes/")[0]) is None:
        return error(404, "ResourceNotFound", "The workspace was not found.")
    for id_ in (body.get("identity") or {}).get("userAssignedIdentities") or ():
        if store.get(id_) is None:
            return error(400, "FailedIdentityOperation", f"{id_} was not found.")
    return None


def _wrong(old: Resource | None, facts: dict[str, Any]) -> Answer | None:
    if old and old["properties"]["computeType"] != facts["computeType"]:
        return error(400, "BadRequest", "The type of a compute cannot be changed.")
    if facts["computeType"] != "AmlCompute":
        return None
    own = facts.get("properties") or {}
    if wrong := list(complaints(own, _CLUSTER)):
        return error(400, "BadRequest", f"AmlCompute: {'; '.join(wrong)}")
    if own["vmSize"] not in SIZES:
        return error(400, "BadRequest", f"The VM size {own['vmSize']} is not supported here.")
    before = old["properties"].get("properties") or {} if old else own
    if any(before.get(key) != own.get(key) for key in ("vmSize", "vmPriority")):
        return error(400, "BadRequest", "VM size and priority of a cluster cannot be changed.")
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
