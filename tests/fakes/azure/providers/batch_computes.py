"""Clusters that a workspace makes for its jobs (AmlCompute). What is attached has a type of its
own, and is taken as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.providers.quotas import SIZES
from tests.fakes.azure.shapes import ANY, MAY, NEEDED, complaints
from tests.fakes.azure.store import Resource

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


def computes(busy: Callable[[str], bool]) -> ResourceType:
    """The type; `busy` tells whether a job is at work on the compute of an id."""

    def check_delete(resource: Resource) -> Answer | None:
        if busy(resource["id"]):
            return error(409, "Conflict", "The compute has running jobs, and cannot be deleted.")
        return None

    return ResourceType(
        COMPUTES, _COMPUTE, slow=True, check=_check, fill=_fill, on_delete=check_delete
    )


def _check(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
    facts = body["properties"]
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
    resource["properties"].setdefault("properties", {})
    resource["properties"].setdefault("provisioningErrors", None)
