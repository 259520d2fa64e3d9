"""Microsoft Entra ID before an app: the platform asks each caller for a token, and lets through to
the functions only whom it knows. Data in the terms of authsettingsV2; nothing is read or written
here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxferry.infra.functions.names import PROBES


def required(issuer: str, client: str, audiences: Sequence[str]) -> dict[str, Any]:
    """Settings that let in only who has a token of `issuer` for one of `audiences`, or for the app
    registration `client`."""
    registration = {"clientId": client, "openIdIssuer": issuer}
    directory = {"enabled": True, "registration": registration}
    directory["validation"] = {"allowedAudiences": list(audiences)}
    return {
        "platform": {"enabled": True},
        "globalValidation": {
            "requireAuthentication": True,
            "unauthenticatedClientAction": "Return401",
            "excludedPaths": [f"/api/{name}" for name in sorted(PROBES)],
        },
        "identityProviders": {"azureActiveDirectory": directory},
        "httpSettings": {"requireHttps": True},
    }


def off(found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `found` with nobody asked for a token."""
    validation = {**(found.get("globalValidation") or {}), "requireAuthentication": False}
    validation |= {"unauthenticatedClientAction": "AllowAnonymous"}
    platform = {**(found.get("platform") or {}), "enabled": False}
    return {**found, "platform": platform, "globalValidation": validation}


def asks(found: Mapping[str, Any]) -> bool:
    """Whether callers are asked for a token."""
    validation = found.get("globalValidation") or {}
    on = bool((found.get("platform") or {}).get("enabled"))
    return on and bool(validation.get("requireAuthentication"))


def audience(found: Mapping[str, Any]) -> str:
    """The audience that a caller's token is for; "" where none is asked for, or by another
    provider."""
    directory = (found.get("identityProviders") or {}).get("azureActiveDirectory") or {}
    client = (directory.get("registration") or {}).get("clientId")
    if not (asks(found) and client):
        return ""
    allowed = (directory.get("validation") or {}).get("allowedAudiences") or ()
    return str(next(iter(allowed), f"api://{client}"))


def callers(auth: str, audience_: str) -> str:
    """Who may call, for people: `auth` is "entra", "anonymous", or "function"."""
    if audience_:
        who = f"whom Microsoft Entra ID signed in for {audience_}"
        return who if auth != "function" else f"{who}, with a function key"
    return {"anonymous": "anybody"}.get(auth, "whoever has a function key")
