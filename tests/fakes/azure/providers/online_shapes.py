"""What a body of an online endpoint and of a deployment may have."""

from __future__ import annotations

from tests.fakes.azure.providers import data_collector
from tests.fakes.azure.providers.assets import WORKSPACES
from tests.fakes.azure.shapes import ANY, MAY, NEEDED

ENDPOINTS = f"{WORKSPACES}/onlineEndpoints"
DEPLOYMENTS = f"{ENDPOINTS}/deployments"

_PROBE = {
    "initialDelay": MAY,
    "period": MAY,
    "timeout": MAY,
    "successThreshold": MAY,
    "failureThreshold": MAY,
}
_IDENTITY = {"type": NEEDED, "userAssignedIdentities": ANY}
ENDPOINT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": _IDENTITY,
    "properties": {
        NEEDED: True,
        "authMode": NEEDED,
        "description": MAY,
        "properties": ANY,
        "traffic": ANY,
        "mirrorTraffic": ANY,
        "publicNetworkAccess": MAY,
        "compute": MAY,
    },
}
DEPLOYMENT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": _IDENTITY,
    "sku": {NEEDED: True, "name": NEEDED, "capacity": NEEDED},
    "properties": {
        NEEDED: True,
        "endpointComputeType": NEEDED,
        "model": NEEDED,
        "environmentId": MAY,
        "instanceType": NEEDED,
        "containerResourceRequirements": {"containerResourceRequests": ANY}
        | {"containerResourceLimits": ANY},
        "codeConfiguration": {"codeId": NEEDED, "scoringScript": NEEDED},
        "environmentVariables": ANY,
        "requestSettings": {
            "requestTimeout": MAY,
            "maxConcurrentRequestsPerInstance": MAY,
            "maxQueueWait": MAY,
        },
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "scaleSettings": ANY,
        "dataCollector": data_collector.SHAPE,
        "appInsightsEnabled": MAY,
        "properties": ANY,
        "description": MAY,
        "modelMountPath": MAY,
        "egressPublicNetworkAccess": MAY,
    },
}
