"""What a PUT of a Flex Consumption plan or app may hold, and must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.azure.shapes import ANY, MAY, NEEDED

FORBIDDEN = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_RUN_FROM_PACKAGE",
}
FARM = {
    "location": NEEDED,
    "kind": MAY,
    "sku": {NEEDED: True, "name": NEEDED, "tier": NEEDED},
    "tags": ANY,
    "properties": {NEEDED: True, "reserved": NEEDED},
}
_STORAGE = {
    NEEDED: True,
    "type": NEEDED,
    "value": NEEDED,
    "authentication": {NEEDED: True, "type": NEEDED, "userAssignedIdentityResourceId": MAY},
}
_SCALE = {
    "instanceMemoryMB": NEEDED,
    "maximumInstanceCount": NEEDED,
    "alwaysReady": [{"name": NEEDED, "instanceCount": NEEDED}],
    "triggers": {"http": {"perInstanceConcurrency": NEEDED}},
}
SITE = {
    "location": NEEDED,
    "kind": NEEDED,
    "identity": {NEEDED: True, "type": NEEDED, "userAssignedIdentities": ANY},
    "tags": ANY,
    "properties": {
        NEEDED: True,
        "serverFarmId": NEEDED,
        "httpsOnly": MAY,
        "siteConfig": {
            "minTlsVersion": MAY,
            "appSettings": [{"name": NEEDED, "value": NEEDED}],
            "ipSecurityRestrictions": ANY,
            "cors": ANY,
        },
        "virtualNetworkSubnetId": MAY,
        "outboundVnetRouting": ANY,
        "publicNetworkAccess": MAY,
        "hostNameSslStates": ANY,
        "functionAppConfig": {
            NEEDED: True,
            "deployment": {NEEDED: True, "storage": _STORAGE},
            "runtime": {NEEDED: True, "name": NEEDED, "version": NEEDED},
            "scaleAndConcurrency": {NEEDED: True, **_SCALE},
        },
    },
}

_DIRECTORY = {
    "enabled": MAY,
    "registration": {NEEDED: True, "clientId": NEEDED, "openIdIssuer": NEEDED},
    "validation": {"allowedAudiences": ANY},
}
SIGN_IN = {  # authsettingsV2
    "properties": {
        NEEDED: True,
        "platform": {"enabled": NEEDED, "runtimeVersion": MAY},
        "globalValidation": {
            "requireAuthentication": NEEDED,
            "unauthenticatedClientAction": NEEDED,
            "excludedPaths": ANY,
            "redirectToProvider": MAY,
        },
        "identityProviders": {"azureActiveDirectory": _DIRECTORY, "google": ANY},
        "httpSettings": {"requireHttps": MAY},
        "login": ANY,
    }
}


def scale_fault(wanted: Mapping[str, Any]) -> str:
    """What is wrong with scaleAndConcurrency, in the platform's words."""
    most = wanted["maximumInstanceCount"]
    ready = sum(one["instanceCount"] for one in wanted.get("alwaysReady") or ())
    triggers = (wanted.get("triggers") or {"http": {"perInstanceConcurrency": 1}})["http"]
    rows = (
        ("a null is no object", None in wanted.values()),
        ("InvalidMaximumInstanceCount", not 1 <= most <= 1000),
        ("InvalidInstanceMemoryMB", wanted["instanceMemoryMB"] not in (512, 2048, 4096)),
        ("InvalidAlwaysReadyConfiguration", ready > most),
        ("InvalidPerInstanceConcurrency", not 1 <= triggers["perInstanceConcurrency"] <= 1000),
    )
    return next((code for code, wrong in rows if wrong), "")
