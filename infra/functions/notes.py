"""How an app is set up, for people: in a plan what shall be, in a status what is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxferry.infra.clients.azure_roles import BLOB_OWNER, METRICS_PUBLISHER
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.costs import HOURLY
from onnxferry.infra.functions.callers import auth_of
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import PROBES
from onnxferry.infra.functions.sign_in import audience, callers
from onnxferry.infra.target_tables import Functions


def notes(config: Functions, desired: DesiredState) -> Iterator[str]:
    """What `config` comes to, a line each."""
    yield desired.sizing.text()
    if config.always_ready:
        yield f"{_instances(config.always_ready)} always ready, {HOURLY}; not of the candidate"
    asked = audience(desired.sign_in)
    probes = " and ".join(f"/api/{name}" for name in sorted(PROBES))
    yield f"who may call: {callers(config.auth, asked)}; {probes} answer anybody"
    if desired.subnet:
        yield f"outgoing connections leave by subnet {_last(desired.subnet)}"
    if desired.identity:
        also = f", and {METRICS_PUBLISHER} on Application Insights" if desired.telemetry else ""
        needs = f"{BLOB_OWNER} on storage account {desired.names.account}{also}"
        yield f"identity {desired.identity.name} must have the role {needs}: it is not given here"
    if config.allow_urls:
        hosts = ", ".join(config.url_hosts) or "any public host"
        yield f"pictures that a request names by URL are fetched from {hosts}"


def facts(app: FunctionApp, audience_: str) -> dict[str, Any]:
    """What is set on the app; `audience_` is that of the tokens that callers are asked for."""
    scale = app.config.get("scaleAndConcurrency") or {}
    http = (scale.get("triggers") or {}).get("http") or {}
    ready = sum(int(one.get("instanceCount") or 0) for one in scale.get("alwaysReady") or ())
    found = {
        "instance memory MB": scale.get("instanceMemoryMB"),
        "most instances": scale.get("maximumInstanceCount"),
        "always ready": ready,
        "requests an instance": http.get("perInstanceConcurrency"),
        "subnet": app.subnet and _last(app.subnet),
        "identities": ", ".join(map(_last, app.identities)),
        "callers": callers(auth_of(app), audience_),
    }
    return {key: value for key, value in found.items() if value}


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"


def _last(id_: str) -> str:
    return id_.rpartition("/")[2]
