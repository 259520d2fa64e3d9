"""What the cloud has of one app now, read once, as frozen data: what a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxferry.infra.clients.azure import Session
from onnxferry.infra.clients.blobs import Packages
from onnxferry.infra.clients.groups import Groups, Item
from onnxferry.infra.clients.roles import BLOB_CONTRIBUTOR, BLOB_OWNER, Principal, Roles
from onnxferry.infra.clients.storage import Account, Storage
from onnxferry.infra.clients.web import App, Farm, Web
from onnxferry.infra.errors import NotAllowed, NotFound
from onnxferry.infra.functions.names import (
    MADE,
    PACKAGES,
    PREVIOUS,
    PUBLISHING,
    VERSION,
    Names,
    container,
    farm,
)


@dataclass(frozen=True)
class Clients:
    """The clients that a Functions app needs, opened."""

    session: Session
    groups: Groups
    storage: Storage
    roles: Roles
    web: Web

    @classmethod
    def open(cls, session: Session, group: str) -> Clients:
        return cls(
            session, Groups(session), Storage(session, group), Roles(session), Web(session, group)
        )

    def packages(self, account: Account) -> Packages:
        """The packages in `account`."""
        return Packages(self.session, account, PACKAGES)


@dataclass(frozen=True)
class AppState:
    """An app with what it stands on: `role` is whether its identity may use the storage account.
    `settings` are all of the app's, read where a plan needs them and never shown: some are others'
    secrets."""

    name: str
    app: App | None = None
    farm: Farm | None = None
    container: bool = False
    role: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def tag(self, name: str) -> str:
        return self.app.tags.get(name, "") if self.app else ""

    @property
    def version(self) -> str:
        """The sha256 of the package that has proved itself here and serves."""
        return self.tag(VERSION)

    @property
    def previous(self) -> str:
        return self.tag(PREVIOUS)

    @property
    def publishing(self) -> str:
        return self.tag(PUBLISHING)

    @property
    def exists(self) -> bool:
        return bool(self.app or self.farm or self.container)


@dataclass(frozen=True)
class CurrentState:
    """`packages` maps the sha256 of each package in storage to its blob's metadata; None when the
    signed-in user may not look. `uploader` is whether we gave that user a role for the blobs."""

    names: Names
    main: AppState
    candidate: AppState
    group: Item | None = None
    account: Account | None = None
    containers: frozenset[str] = frozenset()
    uploader: bool = False
    packages: Mapping[str, Mapping[str, str]] | None = None

    @property
    def account_is_ours(self) -> bool:
        """Whether we made the account, or will."""
        return not self.names.given_account and (self.account is None or MADE in self.account.tags)


def read(clients: Clients, names: Names, *, settings: bool = False) -> CurrentState:
    """Ask the cloud for all of it, and for the apps' `settings` where they are needed. Only
    reads."""
    group = clients.groups.get(names.group)
    nothing = CurrentState(names, AppState(names.app), AppState(names.candidate), group)
    if group is None or group.state == "Deleting":
        return nothing
    account = clients.storage.get(names.account)
    settled = account if account and account.state in ("", "Succeeded") else None
    containers = clients.storage.containers(names.account) if settled else frozenset()
    ours = not names.given_account and account is not None and MADE in account.tags
    return CurrentState(
        names,
        _side(clients, names, names.app, containers, settings),
        _side(clients, names, names.candidate, containers, settings),
        group,
        account,
        containers,
        uploader=ours
        and clients.roles.has(names.account_id, BLOB_CONTRIBUTOR, clients.roles.signed_in()),
        packages=_packages(clients, names, settled) if settled and PACKAGES in containers else {},
    )


def _side(
    clients: Clients, names: Names, name: str, containers: frozenset[str], settings: bool
) -> AppState:
    app = clients.web.app(name)
    who = Principal(app.principal) if app and app.principal else None
    role = who is not None and clients.roles.has(names.account_id, BLOB_OWNER, who)
    found = _settings(clients, name) if settings and app else {}
    return AppState(
        name, app, clients.web.farm(farm(name)), container(name) in containers, role, found
    )


def _settings(clients: Clients, app: str) -> Mapping[str, str]:
    try:
        return clients.web.settings(app)
    except NotFound:  # an app that is only being made, or is going
        return {}


def _packages(
    clients: Clients, names: Names, account: Account
) -> Mapping[str, Mapping[str, str]] | None:
    try:
        blobs = clients.packages(account).list(names.folder)
    except NotAllowed:
        return None
    return {name.rpartition("/")[2].removesuffix(".zip"): facts for name, facts in blobs.items()}
