"""Function apps on Flex Consumption and their plans: the only importer of azure-mgmt-web."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.mgmt.web import WebSiteManagementClient

from onnxferry.infra.clients import azure_bodies
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.clients.azure_groups import AGAIN, ArmResource
from onnxferry.infra.errors import NameTaken, QuotaExceeded

API_VERSION = "2024-11-01"
_SYSTEM, _USER = "SystemAssigned", "UserAssigned"


@dataclass(frozen=True)
class FunctionApp:
    """`host` and `scm` are the hosts of the app's functions and of its publishing; `principal` is
    the object id of its own identity; `config` is its functionAppConfig. `subnet` is the id of the
    one that it joined ("" for none), `identities` those of what is assigned to it."""

    id: str
    name: str
    location: str
    state: str
    host: str
    scm: str
    principal: str
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    subnet: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Keys:
    """What opens an app's functions, and its administration (`master`). Never printed."""

    function: str = field(repr=False)
    master: str = field(repr=False)


class Web:
    """The function apps of one resource group."""

    def __init__(self, session: AzureSession, group: str) -> None:
        self._group = group
        self._client = WebSiteManagementClient(api_version=API_VERSION, **session.options)

    def app_plan(self, name: str) -> ArmResource | None:
        """The plan of that name, if there is one."""
        get = self._client.app_service_plans.get
        found = existing(self._where("plan", name), get, self._group, name)
        if found is None:
            return None
        facts = found.as_dict()
        state = facts["properties"].get("provisioningState", "")
        return ArmResource(found.name, state, facts.get("tags") or {})

    def create_app_plan(self, name: str, location: str, tags: Mapping[str, str]) -> Any:
        """Begin to create a Flex Consumption plan; the poller."""
        where, plans = self._where("plan", name), self._client.app_service_plans
        wanted = azure_bodies.app_plan({"location": location, "tags": dict(tags)})
        with translated(where):
            try:
                return plans.begin_create_or_update(self._group, name, wanted)
            except HttpResponseError as e:
                if "quota" not in str(e).lower():  # its status may be 401, as without sign-in
                    raise
                said = e.error.message if e.error else e.message
                raise QuotaExceeded(
                    f"{where} in {location}: {said} What next: choose another location in"
                    " deploy.toml, or ask for more quota for Azure Functions (App Service)"
                ) from e

    def delete_app_plan(self, name: str) -> None:
        """Delete the plan, which may be gone already."""
        with translated(self._where("plan", name)):
            self._client.app_service_plans.delete(self._group, name)

    def app(self, name: str) -> FunctionApp | None:
        """The app of that name, if there is one."""
        found = existing(self._where("app", name), self._client.web_apps.get, self._group, name)
        return _app(found.as_dict()) if found else None

    def check_name(self, name: str) -> None:
        """Raise NameTaken when somebody else has an app of that name."""
        with translated(self._where("app", name)):
            asked = {"name": name, "type": "Microsoft.Web/sites"}
            answer = self._client.check_name_availability(asked, retry_on_methods=AGAIN)
        if not answer.name_available:
            raise self._taken(name, f"{answer.reason}: {answer.message}")

    def create_app(self, name: str, site: Mapping[str, Any]) -> Any:
        """Begin to create an app by the whole of its body; the poller."""
        with translated(self._where("app", name)):
            try:
                return self._client.web_apps.begin_create_or_update(self._group, name, dict(site))
            except HttpResponseError as e:
                if e.status_code == 409 and "already exists" in str(e):
                    raise self._taken(name, "AlreadyExists") from e
                raise

    def change_app(self, name: str, changes: Mapping[str, Any]) -> Any:
        """Begin to give the app what `changes` has: `config` (the whole functionAppConfig), `tags`
        (an empty one goes), `subnet` ("" leaves it), identities to `attach` and to `detach`. The
        poller.

        A PUT drops what it leaves out (networks, identities, restrictions), and a PATCH knows no
        functionAppConfig: so what is there is sent again.
        """
        with translated(self._where("app", name)):
            found = self._client.web_apps.get(self._group, name).as_dict(exclude_readonly=True)
            both = {**(found.get("tags") or {}), **changes.get("tags", {})}
            found["tags"] = {key: value for key, value in both.items() if value}
            properties = found["properties"]
            properties.pop("provisioningState", None)  # read-only, and in no model
            properties["functionAppConfig"] = changes.get("config", properties["functionAppConfig"])
            if "subnet" in changes:
                properties["virtualNetworkSubnetId"] = changes["subnet"]
            if not properties.get("virtualNetworkSubnetId"):
                properties.pop("virtualNetworkSubnetId", None)
            found["identity"] = _identities(found.get("identity") or {}, changes)
            return self._client.web_apps.begin_create_or_update(self._group, name, found)

    def sign_in(self, name: str) -> dict[str, Any]:
        """The properties of the app's authsettingsV2: whether and how callers are asked for a
        token. {} where there is no such app."""
        ask = self._client.web_apps.get_auth_settings_v2_without_secrets
        found = existing(self._where("sign-in of app", name), ask, self._group, name)
        facts = found.as_dict() if found else {}
        return dict(_without_nulls(facts.get("properties") or {}))

    def put_sign_in(self, name: str, properties: Mapping[str, Any]) -> None:
        """Have these properties of authsettingsV2, and no others."""
        with translated(self._where("sign-in of app", name)):
            replace = self._client.web_apps.update_auth_settings_v2
            replace(self._group, name, {"properties": dict(properties)})

    def delete_app(self, name: str) -> None:
        """Delete the app; its plan stays."""
        with translated(self._where("app", name)):
            self._client.web_apps.delete(self._group, name, delete_empty_server_farm=False)

    def keys(self, name: str) -> Keys:
        """The app's keys, which its host gives once it is up."""
        with translated(self._where("keys of app", name)):
            found = self._client.web_apps.list_host_keys(self._group, name, retry_on_methods=AGAIN)
        functions, master = dict(found.function_keys or {}), found.master_key or ""
        return Keys(functions.get("default") or next(iter(functions.values()), master), master)

    def function_keys(self, name: str) -> dict[str, str]:
        """The host keys that open all functions of the app, by name. Never printed."""
        with translated(self._where("keys of app", name)):
            found = self._client.web_apps.list_host_keys(self._group, name, retry_on_methods=AGAIN)
        return dict(found.function_keys or {})

    def renew_function_key(self, name: str, key: str) -> None:
        """Renew a host key, or make it; without a value in the body Azure makes one."""
        with translated(self._where("keys of app", name)):
            put, wanted = self._client.web_apps.create_or_update_host_secret, {"name": key}
            put(self._group, name, "functionKeys", key, {"properties": wanted})

    def settings(self, name: str) -> dict[str, str]:
        """The app's settings (environment variables), others' secrets among them."""
        with translated(self._where("settings of app", name)):
            ask = self._client.web_apps.list_application_settings
            found = ask(self._group, name, retry_on_methods=AGAIN)
        return dict(found.properties or {})

    def put_settings(self, name: str, settings: Mapping[str, str]) -> None:
        """Have these settings and no others; the app restarts."""
        with translated(self._where("settings of app", name)):
            replace = self._client.web_apps.update_application_settings
            replace(self._group, name, {"properties": dict(settings)})

    def functions(self, name: str) -> frozenset[str]:
        """The functions that the platform found in the app's package."""
        with translated(self._where("functions of app", name)):
            found = self._client.web_apps.list_functions(self._group, name)
            return frozenset(one.name.rpartition("/")[2] for one in found)

    def sync(self, name: str) -> None:
        """Let the platform look for functions again."""
        with translated(self._where("functions of app", name)):
            self._client.web_apps.sync_function_triggers(self._group, name, retry_on_methods=AGAIN)

    def _taken(self, name: str, said: str) -> NameTaken:
        return NameTaken(
            f"{self._where('app', name)}: {said} All of Azure shares app names: choose another with"
            " --name, or name in [model] of deploy.toml"
        )

    def _where(self, kind: str, name: str) -> str:
        return f"Azure Functions {kind} {name} of resource group {self._group}"


def _identities(identity: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """An app's identities once they are changed, and its own among them."""
    gone = {id_.lower() for id_ in changes.get("detach", ())}
    there = identity.get("userAssignedIdentities") or {}
    ids: dict[str, Any] = {
        id_: {} for id_ in (*there, *changes.get("attach", ())) if id_.lower() not in gone
    }
    kinds = [_SYSTEM, _USER] if ids else [_SYSTEM]
    return {"type": ", ".join(kinds), **({"userAssignedIdentities": ids} if ids else {})}


def _without_nulls(found: Any) -> Any:
    """The same data without keys that have no value."""
    if not isinstance(found, Mapping):
        return found
    return {key: _without_nulls(value) for key, value in found.items() if value is not None}


def _app(found: Mapping[str, Any]) -> FunctionApp:
    facts = found.get("properties") or {}
    hosts = {host.get("hostType"): host["name"] for host in facts.get("hostNameSslStates") or ()}
    return FunctionApp(
        id=found["id"],
        name=found["name"],
        location=found.get("location", ""),
        state=facts.get("provisioningState") or facts.get("state") or "",
        host=facts.get("defaultHostName") or "",
        scm=hosts.get("Repository", ""),
        principal=(found.get("identity") or {}).get("principalId", ""),
        tags=found.get("tags") or {},
        config=facts.get("functionAppConfig") or {},
        subnet=facts.get("virtualNetworkSubnetId") or "",
        identities=tuple((found.get("identity") or {}).get("userAssignedIdentities") or ()),
    )
