"""What the cloud has of one app now, read once, as frozen data that plans are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_given import Given
from onnxferry.infra.clients.azure_groups import ArmResource, Groups
from onnxferry.infra.clients.azure_insights import Component, Insights, LogWorkspace
from onnxferry.infra.clients.azure_roles import (
    BLOB_CONTRIBUTOR,
    BLOB_OWNER,
    METRICS_PUBLISHER,
    Principal,
    Roles,
)
from onnxferry.infra.clients.azure_storage import Storage, StorageAccount
from onnxferry.infra.clients.function_apps import FunctionApp, Web
from onnxferry.infra.errors import NotAllowed, NotFound
from onnxferry.infra.functions import given_keys
from onnxferry.infra.functions.app_settings import CONNECTION
from onnxferry.infra.functions.names import (
    KEYS,
    PACKAGES,
    PREVIOUS,
    PUBLISHING,
    VERSION,
    Names,
    app_plan,
    container,
    description,
)


@dataclass(frozen=True)
class Clients:
    """The clients of the services that an app needs."""

    session: AzureSession
    groups: Groups
    storage: Storage
    roles: Roles
    web: Web
    insights: Insights
    given: Given

    @classmethod
    def of(cls, session: AzureSession, names: Names) -> Clients:
        """The clients for the resource group of `names`. Sends nothing."""
        storage, web = Storage(session, names.group), Web(session, names.group)
        apps = (storage, Roles(session), web, Insights(session))
        return cls(session, Groups(session), *apps, Given(session))

    def packages(self, account: StorageAccount) -> BlobContainer:
        """The packages in `account`."""
        return BlobContainer(self.session, account.url, PACKAGES)


@dataclass(frozen=True)
class AppState:
    """An app with what it stands on: `container` are the metadata of its container, `role` is
    whether its identity may use the storage account, and `publisher` whether it may send to
    Application Insights. `settings` are all of the app's, read where a plan needs them and never
    shown: some are others' secrets. `sign_in`, read then too, are the properties of
    authsettingsV2."""

    name: str
    app: FunctionApp | None = None
    plan: ArmResource | None = None
    container: Mapping[str, str] | None = None
    role: bool = False
    publisher: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    sign_in: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The sha256 of the package that has proved itself here and serves."""
        return self.tag(VERSION)

    @property
    def previous(self) -> str:
        """The sha256 of the package that served before."""
        return self.tag(PREVIOUS)

    @property
    def publishing(self) -> str:
        """The sha256 of the package whose publication has not come to its end."""
        return self.tag(PUBLISHING)

    @property
    def keys(self) -> dict[str, str]:
        """The keys of an earlier deploy.toml whose effect goes with them."""
        return given_keys.read(self.tag(KEYS))

    @property
    def seen(self) -> dict[str, str]:
        """What its tags say of versions, for the steps that may only go on from there."""
        return {VERSION: self.version, PUBLISHING: self.publishing}

    @property
    def python(self) -> str:
        """The version of Python that the app runs."""
        config = self.app.config if self.app else {}
        return str((config.get("runtime") or {}).get("version", ""))

    @property
    def exists(self) -> bool:
        """Whether any part of it is there."""
        return bool(self.app or self.plan or self.container is not None)

    def tag(self, name: str) -> str:
        """The value of a tag of the app, "" where there is none."""
        return self.app.tags.get(name, "") if self.app else ""


@dataclass(frozen=True)
class CurrentState:
    """`packages` maps the sha256 of each package of the app in storage to its blob's metadata; None
    when the signed-in user may not look. `container` are the metadata of their container.
    `uploader` is whether we gave that user a role for the blobs."""

    names: Names
    main: AppState
    candidate: AppState
    group: ArmResource | None = None
    account: StorageAccount | None = None
    containers: frozenset[str] = frozenset()
    container: Mapping[str, str] | None = None
    uploader: bool = False
    packages: Mapping[str, Mapping[str, str]] | None = None
    workspace: LogWorkspace | None = None
    component: Component | None = None

    @property
    def account_is_ours(self) -> bool:
        """Whether we made the account, or will."""
        return not self.names.given_account and (self.account is None or self.ours(self.account))

    @property
    def connection(self) -> dict[str, str]:
        """The setting by which an app finds Application Insights, where that is there."""
        return {CONNECTION: self.component.connection} if self.component else {}

    @property
    def unused(self) -> list[str]:
        """The packages that we uploaded for this app; which of them serve, others say."""
        return [sha for sha, facts in (self.packages or {}).items() if self.names.marks(facts)]

    @property
    def exists(self) -> bool:
        """Whether anything of this app is there."""
        own = (self.account, self.workspace, self.component)
        ours = any(found is not None and self.ours(found) for found in own)
        return bool(self.main.exists or self.candidate.exists or self.packages or ours)

    def ours(self, found: ArmResource | None) -> bool:
        """Whether `found`, which has our name, has our mark, too."""
        return found is not None and self.names.marks(found.tags)


@dataclass(frozen=True)
class SharedResources:
    """What else is there: the ids of all resources of the group; the account's shares, queues and
    tables; whether the container of packages has blobs that are not this app's; and the apps whose
    roles on the account are ours."""

    resources: Sequence[str] = ()
    others: Sequence[str] = ()
    foreign: bool = False
    roles: Sequence[str] = ()


def read_state(clients: Clients, names: Names, *, settings: bool = False) -> CurrentState:
    """The app now, with the apps' `settings` where they are needed."""
    group = clients.groups.get(names.group)
    if group is None or group.state == "Deleting":
        return CurrentState(names, AppState(names.app), AppState(names.candidate), group)
    account = clients.storage.get(names.account)
    stable = account if account and account.state in ("", "Succeeded") else None
    containers = clients.storage.containers(names.account) if stable else frozenset()
    main, candidate = (
        _app_state(clients, names, app, containers, settings)
        for app in (names.app, names.candidate)
    )
    state = CurrentState(names, main, candidate, group, account, containers)
    user = clients.roles.signed_in() if account and state.account_is_ours else None
    return replace(
        state,
        container=_container(clients, names, PACKAGES, containers),
        uploader=user is not None and clients.roles.has(names.account_id, BLOB_CONTRIBUTOR, user),
        packages=_packages(clients, names, stable) if stable and PACKAGES in containers else {},
        workspace=clients.insights.workspace(names.workspace_id),
        component=clients.insights.component(names.component_id),
    )


def read_shared_resources(clients: Clients, state: CurrentState) -> SharedResources:
    """What a deletion must know besides. Raises NotAllowed where packages of ours would stay since
    the signed-in user may not look."""
    names, account = state.names, state.account
    resources = clients.groups.resources(names.group) if state.group else []
    if account is None:
        return SharedResources(resources)
    found, scope = clients.roles.described, names.account_id
    apps = (names.app, names.candidate)
    roles = [a for a in apps if found(scope, description(a), names.app_id(a))]
    others = clients.storage.others(names.account) if state.account_is_ours else []
    foreign = has_foreign(clients, state) if PACKAGES in state.containers else False
    return SharedResources(resources, others, foreign, roles)


def has_foreign(clients: Clients, state: CurrentState) -> bool:
    """Whether the container of packages has blobs that are not this app's. Raises NotAllowed where
    that cannot be seen; in an account of ours, the plan's first steps give the right to look, and
    the deletion looks again."""
    if state.account is None or (state.packages is None and state.account_is_ours):
        return False
    blobs = clients.packages(state.account).list("")
    return not all(state.names.is_ours(name, facts) for name, facts in blobs.items())


def _app_state(
    clients: Clients, names: Names, name: str, containers: frozenset[str], settings: bool
) -> AppState:
    app, plan = clients.web.app(name), clients.web.app_plan(app_plan(name))
    own = Principal(app.principal, named=names.app_id(name)) if app else None
    who, has = own if own and own.id else None, clients.roles.has
    return AppState(
        name,
        app,
        plan,
        _container(clients, names, container(name), containers),
        role=who is not None and has(names.account_id, BLOB_OWNER, who),
        publisher=who is not None and has(names.component_id, METRICS_PUBLISHER, who),
        settings=_settings(clients, name) if settings and app else {},
        sign_in=clients.web.sign_in(name) if settings and app else {},
    )


def _container(
    clients: Clients, names: Names, name: str, containers: frozenset[str]
) -> Mapping[str, str] | None:
    return clients.storage.container(names.account, name) if name in containers else None


def _settings(clients: Clients, app: str) -> Mapping[str, str]:
    try:
        return clients.web.settings(app)
    except NotFound:  # an app that is only being made, or is going
        return {}


def _packages(
    clients: Clients, names: Names, account: StorageAccount
) -> Mapping[str, Mapping[str, str]] | None:
    try:
        blobs = clients.packages(account).list(names.folder)
    except NotAllowed:
        return None
    return {names.version(n): facts for n, facts in blobs.items() if names.version(n)}
