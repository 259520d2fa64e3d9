"""What shall be there for a bundle, as deploy.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.clients.azure_given import Identity
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.functions import given_keys, sign_in
from onnxferry.infra.functions.app_settings import free, recorded, takes_telemetry, telemetry_of
from onnxferry.infra.functions.comparison import merged
from onnxferry.infra.functions.given import Surroundings
from onnxferry.infra.functions.names import DEPLOYED, KEYS, MADE, VERSION, Names, container
from onnxferry.infra.functions.sizing import Need, Sizing, sizing
from onnxferry.infra.functions.state import CurrentState
from onnxferry.infra.functions.tags import given_tags
from onnxferry.infra.target_tables import Functions

AUTH, URLS, HOSTS = "ONNXFERRY_FUNCTIONS_AUTH", "ONNXFERRY_URLS_ALLOW", "ONNXFERRY_URLS_HOSTS"
_STORAGE_CLIENT = "AzureWebJobsStorage__clientId"


@dataclass(frozen=True)
class DesiredState:
    """The package `file`, its `sha256`, and how things shall be for it: `scale` is
    scaleAndConcurrency of functionAppConfig, `keys` are those of deploy.toml whose effect goes with
    them (see given_keys), `blobs` the URL of the storage account's blobs. `tags` are those of
    deploy.toml, `deployed` is when it is (ISO 8601, UTC). `telemetry` is whether the apps send what
    they print to Application Insights, and `environment` has all variables of ours. `sign_in` are
    the settings that ask callers for a token, where they shall have one."""

    names: Names
    sha256: str
    file: str
    python: str
    location: str
    tags: Mapping[str, str]
    deployed: str
    scale: Mapping[str, Any]
    blobs: str
    sizing: Sizing
    keys: Mapping[str, str] = field(default_factory=dict)
    telemetry: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    subnet: str = ""
    identity: Identity | None = None
    sign_in: Mapping[str, Any] = field(default_factory=dict)

    @property
    def package(self) -> dict[str, str]:
        """The package in a step's parameters."""
        return {"sha256": self.sha256, "file": self.file}

    @property
    def place(self) -> dict[str, Any]:
        """Where and with which tags a resource is created."""
        own = {MADE: self.names.app, VERSION: self.sha256, DEPLOYED: self.deployed}
        return {"location": self.location, "tags": {**given_tags(self.tags), **own}}

    @property
    def metadata(self) -> dict[str, str]:
        """What a container or a blob is created with; no hyphen is allowed there."""
        tags = {MADE: self.names.app, VERSION: self.sha256, DEPLOYED: self.deployed}
        return {name.replace("-", "_"): value for name, value in tags.items()}

    def config(self, app: str) -> dict[str, Any]:
        """The functionAppConfig of `app`. None gives back to the platform what an earlier
        deploy.toml set; instances are always ready of the app that serves alone."""
        storage = {
            "type": "blobContainer",
            "value": f"{self.blobs}/{container(app)}",
            "authentication": self._authentication,
        }
        scale = dict(self.scale)
        if app != self.names.app:
            scale.pop("alwaysReady", None)
        return {
            "deployment": {"storage": storage},
            "runtime": {"name": "python", "version": self.python},
            "scaleAndConcurrency": scale,
        }

    def site(self, app: str) -> dict[str, Any]:
        """The whole body by which the resource manager makes `app`, with its settings: the value of
        the connection to Application Insights is "" until that is there. Callers are asked for a
        token by `sign_in`, a resource of its own."""
        keys = {KEYS: given_keys.text(self.keys)} if self.keys else {}
        tags = {k: v for k, v in {**self.place["tags"], **keys}.items() if k != VERSION}
        return {
            "location": self.location,
            "tags": tags,
            "kind": "functionapp,linux",
            "identity": self._identities,
            "properties": {
                "serverFarmId": self.names.app_plan_id(app),
                "httpsOnly": True,
                **({"virtualNetworkSubnetId": self.subnet} if self.subnet else {}),
                "functionAppConfig": merged({}, self.config(app)),
                "siteConfig": {"minTlsVersion": "1.2", "appSettings": self._pairs},
            },
        }

    @property
    def settings(self) -> dict[str, str]:
        """The settings of an app that is created."""
        return {
            "AzureWebJobsStorage__accountName": self.names.account,
            "AzureWebJobsStorage__credential": "managedidentity",
            **recorded(self.environment),
        }

    @property
    def _pairs(self) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in self.settings.items()]

    @property
    def _authentication(self) -> dict[str, Any]:
        if self.identity is None:
            return {"type": "SystemAssignedIdentity", "userAssignedIdentityResourceId": None}
        key = "userAssignedIdentityResourceId"
        return {"type": "UserAssignedIdentity", key: self.identity.id}

    @property
    def _identities(self) -> dict[str, Any]:
        if self.identity is None:
            return {"type": "SystemAssigned"}
        both = "SystemAssigned, UserAssigned"
        return {"type": both, "userAssignedIdentities": {self.identity.id: {}}}


def desired_state(
    bundle: Bundle, config: Functions, state: CurrentState, around: Surroundings
) -> DesiredState:
    """What `bundle` needs. The storage account's blobs are where `state` has them, and else where
    the cloud has such."""
    found = state.account.url if state.account else ""
    keys = _keys(config)
    need = Need.of(bundle.package, config.environment)
    sized = sizing(config.instance_memory_mb, need, config.http_concurrency)
    telemetry = config.application_insights and takes_telemetry(
        state.main.settings, config.environment
    )
    return DesiredState(
        names=state.names,
        sha256=bundle.package.sha256,
        file=str(bundle.package.path),
        python=bundle.package.python,
        location=config.location,
        tags=config.tags,
        deployed=around.deployed,
        scale=_scale(config, sized, taken_back=state.main.keys.keys() - keys.keys()),
        blobs=found or f"https://{state.names.account}.blob.{around.suffix}",
        sizing=sized,
        keys=keys,
        telemetry=telemetry,
        environment={
            **free(state.main.settings, sized.settings),
            **_own(config, around),
            **config.environment,
            **(telemetry_of(around.identity) | state.connection if telemetry else {}),
        },
        subnet=config.subnet or "",
        identity=around.identity,
        sign_in=_sign_in(config, around),
    )


def audiences(config: Functions) -> tuple[str, ...]:
    """The audiences whose tokens are taken; none where callers need no token."""
    if config.auth != "entra":
        return ()
    return config.entra_audiences or (f"api://{config.entra_client_id}",)


def _keys(config: Functions) -> dict[str, str]:
    """The keys that are said, whose effect goes with them."""
    rows = (
        (given_keys.ALWAYS_READY, "", says_always_ready(config)),
        (given_keys.AUTH, config.auth, config.auth != "function"),
        (given_keys.SUBNET, given_keys.mark(config.subnet or ""), config.subnet),
        (given_keys.IDENTITY, given_keys.mark(config.identity or ""), config.identity),
    )
    return {key: mark for key, mark, said in rows if said}


def says_always_ready(config: Functions) -> bool:
    """Whether deploy.toml says how many instances are always ready, be it none."""
    return config.always_ready > 0 or "always_ready" in config.model_fields_set


def _own(config: Functions, around: Surroundings) -> dict[str, str]:
    """The settings that keys of deploy.toml stand for."""
    found = {
        AUTH: "function" if config.auth == "function" else "anonymous",
        URLS: str(config.allow_urls).lower(),
        HOSTS: ",".join(config.url_hosts),
        _STORAGE_CLIENT: around.identity.client if around.identity else "",
    }
    return {name: value for name, value in found.items() if value}


def _scale(config: Functions, sized: Sizing, taken_back: set[str]) -> dict[str, Any]:
    """scaleAndConcurrency of the app that serves."""
    scale: dict[str, Any] = {
        "instanceMemoryMB": config.instance_memory_mb,
        "maximumInstanceCount": config.maximum_instance_count,
        "triggers": {"http": {"perInstanceConcurrency": sized.http_concurrency}},
    }
    if config.always_ready:
        scale["alwaysReady"] = [{"name": "http", "instanceCount": config.always_ready}]
    elif says_always_ready(config) or given_keys.ALWAYS_READY in taken_back:
        scale["alwaysReady"] = None
    return scale


def _sign_in(config: Functions, around: Surroundings) -> dict[str, Any]:
    if config.auth != "entra":
        return {}
    return sign_in.required(around.issuer, config.entra_client_id or "", audiences(config))
