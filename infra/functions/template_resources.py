"""The resources of an app's template: the bodies that `deploy` sends, with expressions where names,
ids and what is only known once another resource is there stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients import azure_bodies as bodies
from onnxferry.infra.clients import azure_given, azure_insights, azure_storage, function_apps
from onnxferry.infra.clients.azure_roles import (
    BLOB_CONTRIBUTOR,
    BLOB_OWNER,
    METRICS_PUBLISHER,
    Principal,
)
from onnxferry.infra.functions.app_settings import CONNECTION
from onnxferry.infra.functions.deletion import COMPONENT, WORKSPACE
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import PACKAGES, Names, container, description
from onnxferry.infra.templates.arm import (
    TemplateResource,
    call,
    expression,
    parameter,
    quoted,
    variable,
)
from onnxferry.infra.templates.arm_resources import (
    Assignee,
    Scope,
    after,
    last,
    resource,
    role_assignment,
)
from onnxferry.infra.templates.paths import Path, placed

CONFIG = "Microsoft.Web/sites/config"
SETTINGS, SIGN_IN = "environment of app", "sign-in of app"
_STORE = ("properties", "functionAppConfig", "deployment", "storage")
_BY = "userAssignedIdentityResourceId"
_STORAGE = "Microsoft.Storage/storageAccounts"
_CONTAINERS = f"{_STORAGE}/blobServices/containers"
_WEB = {"apiVersion": function_apps.API_VERSION}
_BLOBS = {"apiVersion": azure_storage.API_VERSION}
APP, ACCOUNT, UPLOADER = parameter("app"), parameter("storageAccount"), parameter("uploader")
_ACCOUNT_ID = call("resourceId", quoted(_STORAGE), ACCOUNT)
_APP_ID = call("resourceId", quoted("Microsoft.Web/sites"), APP)
CONTAINER = variable("container")
IDENTITY = parameter("identity")
SETTINGS_OF_OTHERS, ENVIRONMENT = parameter("keptSettings"), parameter("environment")


@dataclass(frozen=True)
class Resources:
    """Those of the app of `desired`, whose names are `names`; `uploader` is who may upload packages
    ("" for nobody)."""

    names: Names
    desired: DesiredState
    uploader: str = ""

    def all(self) -> Iterator[TemplateResource]:
        """Each behind those that it stands on."""
        if self.desired.telemetry:
            yield from self._telemetry()
        if not self.names.given_account:
            yield self._account()
        yield self._container(PACKAGES, quoted(PACKAGES), "packages")
        yield self._container(container(self.names.app), CONTAINER, "container")
        yield self._plan()
        yield self._app()
        if self.desired.sign_in:
            yield self._sign_in()
        yield self._settings()
        yield from self._roles()

    def _telemetry(self) -> Iterator[TemplateResource]:
        names, workspace = self.names, self._id(self.names.workspace_id)
        head = {"apiVersion": azure_insights.WORKSPACE_VERSION, "name": self._named(workspace)}
        body = bodies.log_workspace(_place("workspace"))
        yield resource(WORKSPACE, names.workspace_id, head | body)
        head = {"apiVersion": azure_insights.COMPONENT_VERSION, **after(workspace)}
        head["name"] = self._named(self._id(names.component_id))
        body = bodies.insights_component(_place("component"), expression(workspace))
        yield resource(COMPONENT, names.component_id, head | body)

    def _account(self) -> TemplateResource:
        head = {**_BLOBS, "name": expression(ACCOUNT)}
        body = bodies.storage_account(_place("account"))
        return resource("storage account", self.names.account_id, head | body)

    def _container(self, name: str, named: str, key: str) -> TemplateResource:
        place = call("concat", ACCOUNT, quoted("/default/"), named)
        before = self._before_account()
        head = {**_BLOBS, "name": expression(place), **(after(*before) if before else {})}
        body = bodies.container(_kept(variable("metadata"), key))
        id_ = f"{self.names.account_id}/blobServices/default/containers/{name}"
        return resource("container", id_, head | body)

    def _plan(self) -> TemplateResource:
        id_ = self.names.app_plan_id(self.names.app)
        head = {**_WEB, "name": self._named(self._id(id_))}
        return resource("plan", id_, head | bodies.app_plan(_place("plan")))

    def _app(self) -> TemplateResource:
        app, plan = self.names.app, self._id(self.names.app_plan_id(self.names.app))
        tags = call("union", variable("appTags"), _kept_of("app"))
        site = self.desired.site(app)
        alone = {k: v for k, v in site["properties"]["siteConfig"].items() if k != "appSettings"}
        body = _with(
            site,
            {
                ("location",): expression(parameter("location")),
                ("tags",): expression(tags),
                ("identity", "userAssignedIdentities"): {expression(IDENTITY): {}},
                ("properties", "serverFarmId"): expression(plan),
                ("properties", "siteConfig"): alone,
                (*_STORE, "value"): expression(variable("containerUrl")),
                (*_STORE, "authentication", _BY): expression(IDENTITY),
            },
        )
        head = {**_WEB, "name": expression(APP), **after(plan, self._container_id())}
        return resource("app", self.names.app_id(app), head | body)

    def _sign_in(self) -> TemplateResource:
        """That callers are asked for a token."""
        parts = ("environment().authentication.loginEndpoint", parameter("tenant"))
        issuer = call("concat", *parts, quoted("/v2.0"))
        directory = ("identityProviders", "azureActiveDirectory")
        asked = _with(
            self.desired.sign_in,
            {
                (*directory, "registration", "clientId"): expression(parameter("entraClientId")),
                (*directory, "registration", "openIdIssuer"): expression(issuer),
                (*directory, "validation", "allowedAudiences"): expression(
                    parameter("entraAudiences")
                ),
            },
        )
        return self._config(SIGN_IN, "authsettingsV2", asked, _APP_ID)

    def _settings(self) -> TemplateResource:
        """All of the app's: others' first, so that ours win; what is known late at the end. Callers
        are asked for a token before a setting may let in anybody."""
        before, late = [_APP_ID], late_settings(self.desired)
        if self.desired.telemetry:
            before.append(self._id(self.names.component_id))
        if self.desired.sign_in:
            config = call("resourceId", quoted(CONFIG), APP, quoted("authsettingsV2"))
            before.append(config)
        pairs = (part for name, value in late.items() for part in (quoted(name), value))
        known = [call("createObject", *pairs)] if late else []
        all_ = call("union", SETTINGS_OF_OTHERS, variable("settings"), ENVIRONMENT, *known)
        return self._config(SETTINGS, "appsettings", expression(all_), *before)

    def _config(self, kind: str, name: str, properties: Any, *before: str) -> TemplateResource:
        place = expression(call("concat", APP, quoted(f"/{name}")))
        body = {**_WEB, "name": place, **after(*before), "properties": properties}
        id_ = f"{self.names.app_id(self.names.app)}/config/{name}"
        return resource(kind, id_, body, self.names.app)

    def _roles(self) -> Iterator[TemplateResource]:
        names, app, given = self.names, self.names.app, self.desired.identity
        account = Scope(names.account_id, _ACCOUNT_ID, self._before_account())
        if not given:  # who made it has given it the roles
            yield role_assignment(BLOB_OWNER, account, self._own_identity(), app)
        if self.desired.telemetry and not given:
            id_ = self._id(names.component_id)
            component = Scope(names.component_id, id_, (id_,))
            name = f"{app} on {last(names.component_id)}"
            yield role_assignment(METRICS_PUBLISHER, component, self._own_identity(), name)
        if not names.given_account:
            yield role_assignment(BLOB_CONTRIBUTOR, account, self._uploader(), "signed-in user")

    def _own_identity(self) -> Assignee:
        """The app's."""
        version = quoted(function_apps.API_VERSION)
        principal = f"{call('reference', _APP_ID, version, quoted('Full'))}.identity.principalId"
        said = call("concat", quoted(description("")), APP)
        who = Principal("", named=self.names.app_id(self.names.app))
        return Assignee(who, principal, _APP_ID, said, before=(_APP_ID,))

    def _uploader(self) -> Assignee:
        """Who uploads packages, where somebody is given."""
        said = call("concat", quoted(description("")), APP, quoted(" uploads"))
        kind = expression(parameter("uploaderType"))
        given = call("not", call("empty", UPLOADER))
        return Assignee(Principal(self.uploader), UPLOADER, UPLOADER, said, kind, given)

    def _id(self, id_: str) -> str:
        """The id of a resource of this app's group, whose name begins with the app's, as an
        expression."""
        type_ = "/".join(id_.rpartition("/providers/")[2].split("/")[:2])
        rest = last(id_).removeprefix(self.names.app)
        return call("resourceId", quoted(type_), call("concat", APP, quoted(rest)))

    @staticmethod
    def _named(id_: str) -> str:
        """The name in an id of `_id`."""
        return expression(id_[id_.index("concat(") : -1])

    def _container_id(self) -> str:
        return call("resourceId", quoted(_CONTAINERS), ACCOUNT, quoted("default"), CONTAINER)

    def _before_account(self) -> tuple[str, ...]:
        return () if self.names.given_account else (_ACCOUNT_ID,)


def late_settings(desired: DesiredState) -> dict[str, str]:
    """Settings whose values, as expressions, are known only when other resources are there."""
    late: dict[str, str] = {}
    if desired.telemetry:
        rest = last(desired.names.component_id).removeprefix(desired.names.app)
        place = call("concat", APP, quoted(rest))
        component = call("resourceId", quoted("Microsoft.Insights/components"), place)
        version = quoted(azure_insights.COMPONENT_VERSION)
        late[CONNECTION] = f"{call('reference', component, version)}.ConnectionString"
    if desired.identity:
        version, client = quoted(azure_given.IDENTITY_VERSION), desired.identity.client
        id_ = f"{call('reference', IDENTITY, version)}.clientId"
        named = {k: v for k, v in desired.settings.items() if client in v}
        for name, value in named.items():
            before, _, after = value.partition(client)
            late[name] = call("concat", quoted(before), id_, quoted(after))
    return late


def _with(body: Any, values: Mapping[Path, Any]) -> Any:
    """`body` with other values, where it has any."""
    for path, value in values.items():
        body = placed(body, path, value)
    return body


def _place(key: str) -> dict[str, Any]:
    """Location and tags; `key` is the resource's in the parameter `kept`."""
    return {"location": expression(parameter("location")), "tags": _kept(variable("tags"), key)}


def _kept(own: str, key: str) -> str:
    return expression(call("union", own, _kept_of(key)))


def _kept_of(key: str) -> str:
    return f"{parameter('kept')}.{key}"
