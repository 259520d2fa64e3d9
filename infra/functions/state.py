"""What the cloud has of one app now, read once, as frozen data that plans are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_groups import ArmResource, Groups
from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, BLOB_OWNER, Principal, Roles
from onnxferry.infra.clients.azure_storage import Storage, StorageAccount
from onnxferry.infra.clients.function_apps import FunctionApp, Web
from onnxferry.infra.errors import NotAllowed, NotFound
from onnxferry.infra.functions.names import (
    MADE,
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

    @classmethod
    def of(cls, session: AzureSession, names: Names) -> Clients:
        """The clients for the resource group of `names`. Sends nothing."""
        storage, web = Storage(session, names.group), Web(session, names.group)
        return cls(session, Groups(session), storage, Roles(session), web)

    def packages(self, account: StorageAccount) -> BlobContainer:
        """The packages in `account`."""
        return BlobContainer(self.session, account.url, PACKAGES)


@dataclass(frozen=True)
class AppState:
    """An app with what it stands on: `role` is whether its identity may use the storage account.
    `settings` are all of the app's, read where a plan needs them and never shown: some are others'
    secrets."""

    name: str
    app: FunctionApp | None = None
    plan: ArmResource | None = None
    container: bool = False
    role: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> str:
        """The sha256 of the package that has proved itself here and serves."""
        return self._tag(VERSION)

    @property
    def previous(self) -> str:
        """The sha256 of the package that served before."""
        return self._tag(PREVIOUS)

    @property
    def publishing(self) -> str:
        """The sha256 of the package whose publication has not come to its end."""
        return self._tag(PUBLISHING)

    @property
    def python(self) -> str:
        """The version of Python that the app runs."""
        config = self.app.config if self.app else {}
        return str((config.get("runtime") or {}).get("version", ""))

    @property
    def exists(self) -> bool:
        """Whether any part of it is there."""
        return bool(self.app or self.plan or self.container)

    def _tag(self, name: str) -> str:
        return self.app.tags.get(name, "") if self.app else ""


@dataclass(frozen=True)
class CurrentState:
    """`packages` maps the sha256 of each package in storage to its blob's metadata; None when the
    signed-in user may not look. `uploader` is whether we gave that user a role for the blobs."""

    names: Names
    main: AppState
    candidate: AppState
    group: ArmResource | None = None
    account: StorageAccount | None = None
    containers: frozenset[str] = frozenset()
    uploader: bool = False
    packages: Mapping[str, Mapping[str, str]] | None = None

    @property
    def account_is_ours(self) -> bool:
        """Whether we made the account, or will."""
        return not self.names.given_account and (self.account is None or MADE in self.account.tags)

    @property
    def exists(self) -> bool:
        """Whether anything of this app is there."""
        ours = bool(self.account) and self.account_is_ours
        return bool(self.main.exists or self.candidate.exists or self.packages or ours)


@dataclass(frozen=True)
class SharedResources:
    """What else is there: the names of all resources of the group; the account's shares, queues and
    tables; whether other apps keep packages in the container; and the apps whose roles on the
    account are ours."""

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
    ours = not names.given_account and account is not None and MADE in account.tags
    main, candidate = (
        _app_state(clients, names, app, containers, settings)
        for app in (names.app, names.candidate)
    )
    user = clients.roles.signed_in() if ours else None
    uploader = user is not None and clients.roles.has(names.account_id, BLOB_CONTRIBUTOR, user)
    packages = _packages(clients, names, stable) if stable and PACKAGES in containers else {}
    return CurrentState(names, main, candidate, group, account, containers, uploader, packages)


def read_shared_resources(clients: Clients, state: CurrentState) -> SharedResources:
    """What a deletion must know besides. Raises NotAllowed where packages of ours would stay since
    the signed-in user may not look."""
    names, account = state.names, state.account
    resources = clients.groups.resources(names.group) if state.group else []
    if account is None:
        return SharedResources(resources)
    found = clients.roles.described
    roles = [a for a in (names.app, names.candidate) if found(names.account_id, description(a))]
    others = clients.storage.others(names.account) if state.account_is_ours else []
    packages, foreign = clients.packages(account), not state.account_is_ours
    if state.packages is not None:
        foreign = PACKAGES in state.containers and packages.has_other(names.folder)
    elif foreign:
        packages.list(names.folder)  # raises, and says who may not look
    return SharedResources(resources, others, foreign, roles)


def _app_state(
    clients: Clients, names: Names, name: str, containers: frozenset[str], settings: bool
) -> AppState:
    app, plan = clients.web.app(name), clients.web.app_plan(app_plan(name))
    who = Principal(app.principal) if app and app.principal else None
    role = who is not None and clients.roles.has(names.account_id, BLOB_OWNER, who)
    found = _settings(clients, name) if settings and app else {}
    return AppState(name, app, plan, container(name) in containers, role, found)


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
    return {name.rpartition("/")[2].removesuffix(".zip"): facts for name, facts in blobs.items()}
