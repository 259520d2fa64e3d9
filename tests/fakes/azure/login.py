"""Entra ID and the cloud's metadata: who may sign in, and where everything is."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Collection
from urllib.parse import parse_qs

from tests.fakes.azure.http import Answer, Call, Route

TENANT = "00000000-0000-0000-0000-00000000000a"
CLIENT = "00000000-0000-0000-0000-00000000000b"
SECRET = "a secret that must never be printed"  # noqa: S105
PRINCIPAL = "00000000-0000-0000-0000-00000000000c"  # the object id of whoever signs in


def _token(**claims: str) -> str:
    text = json.dumps({"oid": PRINCIPAL, "idtyp": "app", "tid": TENANT, **claims}).encode()
    middle = base64.urlsafe_b64encode(text).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{middle}.must-never-be-printed"


TOKEN = _token()  # for the cloud's own services


class Login:
    """Gives a token, each time another, to whoever knows SECRET, unless it is `closed`: then the
    sign-in has expired. `applications` are the audiences of the tenant's app registrations."""

    def __init__(self, base: str, storage_suffix: str) -> None:
        self.base = base
        self.closed = False
        self.applications: set[str] = set()
        self._tokens = itertools.count()
        self.cloud = f"FakeCloud{base.rpartition(':')[2]}"  # azure-ai-ml remembers clouds by name
        self.storage_suffix = storage_suffix
        self.routes = (
            Route("GET", r"/metadata/endpoints", self._metadata),
            Route(
                "GET", r"/(?P<tenant>[^/]+)/v2\.0/\.well-known/openid-configuration", self._openid
            ),
            Route("GET", r"/common/discovery/instance", self._instance),
            Route("POST", r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token", self._token),
        )

    def _metadata(self, call: Call, match: re.Match[str]) -> Answer:
        cloud = {
            "name": self.cloud,
            "portal": f"{self.base}/",
            "resourceManager": f"{self.base}/",
            "authentication": {"loginEndpoint": f"{self.base}/", "audiences": [f"{self.base}/"]},
            "suffixes": {"storage": self.storage_suffix},
        }
        return Answer(200, [cloud])

    def _openid(self, call: Call, match: re.Match[str]) -> Answer:
        tenant = f"{self.base}/{match['tenant']}"
        return Answer(
            200,
            {
                "issuer": f"{tenant}/v2.0",
                "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{tenant}/oauth2/v2.0/token",
                "jwks_uri": f"{tenant}/discovery/v2.0/keys",
            },
        )

    def _instance(self, call: Call, match: re.Match[str]) -> Answer:
        return Answer(
            200,
            {
                "tenant_discovery_endpoint": (
                    f"{self.base}/{TENANT}/v2.0/.well-known/openid-configuration"
                )
            },
        )

    def _token(self, call: Call, match: re.Match[str]) -> Answer:
        if b"client_secret=" + SECRET.replace(" ", "+").encode() not in call.body:
            problem = {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
            }
            return Answer(401, problem)
        if self.closed:
            said = "AADSTS700082: The refresh token has expired due to inactivity."
            return Answer(400, {"error": "invalid_grant", "error_description": said})
        scope = parse_qs(call.body.decode())["scope"][0].split()[0].removesuffix("/.default")
        own = f"{TOKEN}{next(self._tokens)}"
        if scope.startswith("api://") and scope not in self.applications:
            said = f"AADSTS500011: The resource principal named {scope} was not found in the tenant"
            return Answer(400, {"error": "invalid_resource", "error_description": said})
        issuer = f"{self.base}/{match['tenant']}/v2.0"
        token = _token(aud=scope, iss=issuer) if scope.startswith("api://") else own
        return Answer(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token})


def signed_in(call: Call) -> bool:
    """Whether the call shows a token from here; faults.py knows which have expired."""
    return call.headers.get("authorization", "").startswith(f"Bearer {TOKEN}")


def is_for(call: Call, issuer: str, audiences: Collection[str]) -> bool:
    """Whether the call shows a token of `issuer` for one of `audiences`."""
    shown = call.headers.get("authorization", "").removeprefix("Bearer ")
    return shown in {_token(aud=audience, iss=issuer) for audience in audiences}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
