"""Which settings of an app change: Azure's word for its environment variables.

Variables of ours stand beside settings that the user and the platform made. Those may be secrets:
no plan holds their values. One setting of ours keeps the names of our variables, so that a variable
that leaves deploy.toml leaves the app, too. Where a variable takes the place of a user's setting,
that is set aside in the app, under another name, until the variable goes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.clients.azure_given import Identity

RECORD = "ONNXFERRY_ENVIRONMENT"  # the setting with our variables' names, separated by spaces
CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_SENDER = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"
TELEMETRY = (CONNECTION, _SENDER)
_ASIDE = "ONNXFERRY_SET_ASIDE_"  # before the name of a user's setting that was set aside


def telemetry_of(identity: Identity | None) -> dict[str, str]:
    """The settings by which the app sends what it has to say: as its own identity, or the one that
    is given, by a role, since the connection alone opens nothing. That is known when Application
    Insights is there; "" until then."""
    who = f"ClientId={identity.client};" if identity else ""
    return {CONNECTION: "", _SENDER: f"{who}Authorization=AAD"}


def free(found: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The `defaults` that the user has set nothing else for in the app."""
    ours = set(found.get(RECORD, "").split())
    return {k: v for k, v in defaults.items() if k not in found or k in ours}


def takes_telemetry(found: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    """Whether the app is free for an Application Insights of ours: one that the user connected it
    to stays."""
    ours = set(found.get(RECORD, "").split())
    theirs = {name for name in found if name not in ours} | set(environment)
    return theirs.isdisjoint(TELEMETRY)


def setting_changes(found: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """How the settings `found` become those of `environment`, as names, and values of ours to set;
    {} when they are so."""
    wanted, ours = recorded(environment), {*found.get(RECORD, "").split(), RECORD}
    differ = {name: value for name, value in wanted.items() if found.get(name) != value}
    gone = [name for name in sorted(ours) if name in found and name not in wanted]
    return _without_empty(
        {
            "set": differ,
            "remove": [name for name in gone if _ASIDE + name not in found],
            "set_aside": [name for name in differ if name in found and name not in ours],
            "put_back": [name for name in gone if _ASIDE + name in found],
        }
    )


def reverse(found: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that undo `changes` of the settings `found`."""
    aside, put_back = changes.get("set_aside", []), changes.get("put_back", [])
    set_, remove = changes.get("set", {}), changes.get("remove", [])
    ours = [name for name in (*set_, *remove, *put_back) if name in found and name not in aside]
    return _without_empty(
        {
            "set": {name: found[name] for name in ours},
            "remove": [name for name in set_ if name not in found],
            "set_aside": put_back,
            "put_back": aside,
        }
    )


def changed(found: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """All settings of the app, once `changes` are made to `found`."""
    settings = dict(found)
    for name in changes.get("set_aside", ()):
        if name in settings:
            settings.setdefault(_ASIDE + name, settings.pop(name))
    for name in changes.get("remove", ()):
        settings.pop(name, None)
    for name in changes.get("put_back", ()):
        if _ASIDE + name in settings:
            settings[name] = settings.pop(_ASIDE + name)
    return {**settings, **changes.get("set", {})}


def recorded(environment: Mapping[str, str]) -> dict[str, str]:
    """Our variables, and the setting that keeps their names."""
    return {**environment, RECORD: " ".join(sorted(environment))} if environment else {}


def _without_empty(changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if value}
