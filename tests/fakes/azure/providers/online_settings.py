"""What the service refuses of the settings of an online endpoint and of its deployments: values
that it does not know, limits, and what is fixed once a thing is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import isodate  # type: ignore[import-untyped]

from tests.fakes.azure.http import Answer, error
from tests.fakes.azure.store import Resource, Store

EGRESS = "egressPublicNetworkAccess"
_ACCESS = ("enabled", "disabled")
_AUTH = ("key", "amltoken", "aadtoken")
_TIMEOUT = timedelta(seconds=180)
_COUNTS, _DELAYS = ("successThreshold", "failureThreshold"), ("initialDelay", "period", "timeout")


def refused_endpoint(store: Store, old: Resource | None, body: Mapping[str, Any]) -> Answer | None:
    """Why the endpoint's PUT is refused."""
    facts = body["properties"]
    wrong = [
        *_unknown("publicNetworkAccess", facts.get("publicNetworkAccess"), _ACCESS),
        *_unknown("authMode", facts["authMode"], _AUTH),
    ]
    wrong += [f"the identity {id_} was not found" for id_ in _given(body) if not store.get(id_)]
    if len(_given(body)) > 1:
        wrong.append("an endpoint takes one user-assigned identity")
    if old and old.get("identity") and _identity(old) != _identity(body):
        wrong.append("the identity of an endpoint cannot be changed")
    return error(400, "BadRequest", "; ".join(wrong)) if wrong else None


def refused_deployment(old: Resource | None, body: Mapping[str, Any]) -> Answer | None:
    """Why the deployment's PUT is refused."""
    facts, wrong = body["properties"], list[str]()
    wrong += _unknown(EGRESS, facts.get(EGRESS), _ACCESS)
    if old and _egress(old["properties"]) != _egress(facts):
        wrong.append(f"{EGRESS} of a deployment cannot be changed")
    wrong += _requests(facts.get("requestSettings") or {})
    for name in ("livenessProbe", "readinessProbe"):
        wrong += (f"{name}.{text}" for text in _probe(facts.get(name) or {}))
    if (facts.get("livenessProbe") or {}).get("successThreshold", 1) != 1:
        wrong.append("livenessProbe.successThreshold must be 1")
    for name, value in (facts.get("environmentVariables") or {}).items():
        wrong += [] if isinstance(value, str) else [f"the variable {name} is no text"]
    return error(400, "BadRequest", "; ".join(wrong)) if wrong else None


def _requests(said: Mapping[str, Any]) -> Iterator[str]:
    timeout = said.get("requestTimeout")
    if timeout and not timedelta() < isodate.parse_duration(timeout) <= _TIMEOUT:
        yield f"requestTimeout is {timeout}; at most 180000 ms"
    if said.get("maxConcurrentRequestsPerInstance", 1) < 1:
        yield "maxConcurrentRequestsPerInstance is at least 1"


def _probe(said: Mapping[str, Any]) -> Iterator[str]:
    for key in _COUNTS:
        if said.get(key, 1) < 1:
            yield f"{key} is at least 1"
    for key in _DELAYS:
        if said.get(key) and isodate.parse_duration(said[key]) < timedelta(seconds=1):
            yield f"{key} is at least 1 s"


def _unknown(key: str, value: Any, known: tuple[str, ...]) -> list[str]:
    return [f"{key} is {value!r}"] if value and str(value).lower() not in known else []


def _given(resource: Mapping[str, Any]) -> list[str]:
    identity = resource.get("identity") or {}
    return sorted(id_.lower() for id_ in identity.get("userAssignedIdentities") or ())


def _identity(resource: Mapping[str, Any]) -> tuple[str, list[str]]:
    return str((resource.get("identity") or {}).get("type")).lower(), _given(resource)


def _egress(facts: Mapping[str, Any]) -> str:
    return str(facts.get(EGRESS) or _ACCESS[0]).lower()
