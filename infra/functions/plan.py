"""The steps of a deployment and of a roll-back, made of the current and the desired state. Nothing
is read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, BLOB_OWNER
from onnxferry.infra.errors import NameTaken, NotFound, Unavailable
from onnxferry.infra.functions.app_settings import reverse, setting_changes
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import MADE, PACKAGES, app_plan, container
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.plan import Action, Step, unless

_PENDING = frozenset(
    {"Creating", "Updating", "InProgress", "Accepted", "ResolvingDNS", "Provisioning", "Deleting"}
)


def check(state: CurrentState) -> None:
    """Raise where nothing can be deployed: the group is going, or what was given is not there, or
    is not ours."""
    names = state.names
    if state.group and state.group.state == "Deleting":
        raise Unavailable(
            f"resource group {names.group}: it is being deleted; wait, then run again"
        )
    if names.given_account and not state.account:
        raise NotFound(
            f"storage account {names.given_account}: resource group {names.group} has none of that"
            " name; correct storage_account in [functions] of deploy.toml, or leave it out and one"
            " is created"
        )
    check_ours(state)


def check_ours(state: CurrentState) -> None:
    """Raise NameTaken when an app or a plan of our names is there that onnxferry did not make."""
    names = state.names
    for app in (state.main, state.candidate):
        for kind, found in (("app", app.app), ("plan", app.plan)):
            if found and found.tags.get(MADE, "").lower() != names.app.lower():
                raise NameTaken(
                    f"Azure Functions {kind} {found.name} of resource group {names.group}: it is"
                    f" there, and onnxferry did not make it (no tag {MADE}={names.app}). Choose"
                    " another name: --name, or name in [model] of deploy.toml"
                )


def deploy(state: CurrentState, desired: DesiredState) -> tuple[Step, ...]:
    """The steps that end with the package of `desired` live, and nothing of the way there left."""
    main, sha256 = state.main, desired.sha256
    if not main.version:
        steps = [*_proved(main, state, desired), _record(main.name, sha256, "")]
    elif main.version == sha256 and not main.publishing and not _strays(main, desired):
        steps = [*_put_app(main, state, desired), *_smoke(main.name, desired.package)]
    else:
        steps = [*_put_app(main, state, desired, change=False), *_update(state, desired)]
    keep = {sha256, main.previous if main.version == sha256 else main.version}
    made = any(step.name == state.candidate.name for step in steps)
    return (*_foundation(state, desired), *steps, *_delete_unused(state, keep, made_candidate=made))


def rollback(state: CurrentState) -> tuple[Step, ...]:
    """The steps that publish the package before the one that serves; after an update that was cut
    off, that is the one that served last. Raises NotFound when there is none."""
    main, packages = state.main, state.packages or {}
    cut_off = main.publishing not in ("", main.previous)
    target, before = (main.version, main.previous) if cut_off else (main.previous, main.version)
    if not main.app or not main.version or not target:
        raise NotFound(
            f"Azure Functions app {main.name}: no previous version is kept, so there is none to go"
            " back to"
        )
    if state.packages is not None and target not in packages:
        raise NotFound(
            f"Azure Functions app {main.name}: the package {target[:12]} is no longer in container"
            f" {PACKAGES} of storage account {state.names.account}; deploy that version again from"
            " its model directory"
        )
    python = packages.get(target, {}).get("python") or main.python
    package, config = {"sha256": target}, {"runtime": {"name": "python", "version": python}}
    return (
        Step(Action.CHECK, "package", target[:12], "fetch_package", package),
        _promote(main, package, config, {}),
        *_smoke(main.name, package),
        _record(main.name, target, before),
    )


def _strays(app: AppState, desired: DesiredState) -> bool:
    """Whether the app differs from what deploy.toml says."""
    changes = setting_changes(app.settings, desired.environment)
    return bool(changes) or _drifts(app, desired.config(app.name))


def _drifts(app: AppState, config: Mapping[str, Any]) -> bool:
    """Whether the app's functionAppConfig differs in a value that `config` sets."""
    return app.app is not None and _differs(config, app.app.config)


def _differs(desired: Any, found: Any) -> bool:
    if isinstance(desired, Mapping):
        return not isinstance(found, Mapping) or any(
            _differs(value, found.get(key)) for key, value in desired.items()
        )
    return str(desired).rstrip("/").lower() != str(found).rstrip("/").lower()


def _foundation(state: CurrentState, desired: DesiredState) -> list[Step]:
    """What all apps stand on: resource group, storage account, the right to write to it, the
    container with the package."""
    names, place = state.names, desired.place
    kind, account = "storage account", state.account
    steps = [unless(bool(state.group), "resource group", names.group, "create_group", place)]
    if account and account.state in _PENDING:
        steps.append(_wait(kind, names.account, account.state))
    else:
        there = account is not None and account.state != "Failed"
        steps.append(unless(there, kind, names.account, "create_account", place))
    if state.account_is_ours:  # no owner's role includes the right to write there
        facts = {"role": BLOB_CONTRIBUTOR, "scope": names.account_id}
        what = "role assignment", "signed-in user"
        steps.append(unless(state.uploader, *what, "assign_role", facts))
    steps.append(_create_container(PACKAGES in state.containers, PACKAGES, names.account))
    package: dict[str, Any] = {**desired.package, "python": desired.python}
    package["wait_for_role"] = state.account_is_ours  # we gave it a moment ago
    there, version = desired.sha256 in (state.packages or ()), desired.sha256[:12]
    return [*steps, unless(there, "package", version, "upload_package", package)]


def _create_container(there: bool, name: str, account: str) -> Step:
    return unless(there, "container", name, "create_container", {"account": account})


def _put_app(
    app: AppState, state: CurrentState, desired: DesiredState, *, change: bool = True
) -> list[Step]:
    """An app with its plan, container and role. Unless `change`, a working app that is there stays
    as it is."""
    account, plan = state.names.account, app_plan(app.name)
    there = app.plan is not None and app.plan.state != "Failed"
    steps = [unless(there, "plan", plan, "create_app_plan", desired.place)]
    if app.plan and app.plan.state in _PENDING:
        steps = [_wait("plan", plan, app.plan.state)]
    steps.append(_create_container(app.container, container(app.name), account))
    steps += _app(app, desired, account, change=change)
    role = {"role": BLOB_OWNER, "scope": state.names.account_id, "app": app.name}
    return [*steps, unless(app.role, "role assignment", app.name, "assign_role", role)]


def _app(app: AppState, desired: DesiredState, account: str, *, change: bool) -> list[Step]:
    config, settings = desired.config(app.name), {"settings": desired.settings(account)}
    facts: dict[str, Any] = {**desired.place, "config": config}
    if app.app is None:
        return [Step(Action.CREATE, "app", app.name, "put_app", {**facts, **settings})]
    steps = [_wait("app", app.name, app.app.state)] if app.app.state in _PENDING else []
    failed = app.app.state == "Failed"
    if failed or (change and _drifts(app, config)):
        if not change:
            config["runtime"]["version"] = app.python
        facts = {**facts, "config": _merged(app.app.config, config)}
        facts |= settings if failed else {}
        steps.append(Step(Action.UPDATE, "app", app.name, "put_app", facts))
    changes = setting_changes(app.settings, desired.environment)
    if change and changes and not failed:
        what = "environment of app"
        steps.append(Step(Action.UPDATE, what, app.name, "change_settings", changes))
    return steps or [Step(Action.REUSE, "app", app.name)]


def _update(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Prove the package on the candidate, unless it has proved itself on the app before, and give
    it to the app."""
    main, sha256 = state.main, desired.sha256
    stale = main.version != sha256 or _strays(main, desired)
    changes = setting_changes(main.settings, desired.environment)
    return [
        *(_proved(state.candidate, state, desired) if stale else ()),
        _promote(main, desired.package, desired.config(main.name), changes),
        *_smoke(main.name, desired.package),
        _record(main.name, sha256, main.previous if main.version == sha256 else main.version),
    ]


def _proved(app: AppState, state: CurrentState, desired: DesiredState) -> list[Step]:
    """The app with the package, which answers the golden request."""
    publish = Step(Action.UPDATE, "package of app", app.name, "publish", desired.package)
    return [*_put_app(app, state, desired), publish, *_smoke(app.name, desired.package)]


def _promote(
    main: AppState,
    package: Mapping[str, str],
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Step:
    """Publish to the app that serves, with its configuration and changes of its settings. The way
    back is to publish what served, with the configuration and the settings of now."""
    now = dict(main.app.config) if main.app else {}
    facts: dict[str, Any] = {**package}
    back: dict[str, Any] = {"sha256": main.version, "previous": main.previous}
    if _drifts(main, config):
        facts["config"], back["config"] = _merged(now, config), now
    if settings:
        facts["settings"], back["settings"] = settings, reverse(main.settings, settings)
    restore = Step(Action.UPDATE, "package of app", main.name, "restore", back)
    return Step(Action.UPDATE, "package of app", main.name, "promote", facts, restore)


def _merged(found: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with what `desired` says: what a user set beside, such as instances that are always
    ready, stays."""
    both = {
        key: _merged(found.get(key) or {}, value)
        for key, value in desired.items()
        if isinstance(value, Mapping)
    }
    return {**found, **desired, **both}


def _smoke(app: str, package: Mapping[str, str]) -> list[Step]:
    return [
        Step(Action.CHECK, "health of app", app, "wait_until_healthy"),
        Step(Action.CHECK, "golden request to app", app, "smoke", package, settles=True),
    ]


def _record(app: str, sha256: str, previous: str) -> Step:
    facts = {"version": sha256, "previous": previous}
    return Step(Action.UPDATE, "tags of app", app, "record_version", facts)


def _delete_unused(state: CurrentState, keep: set[str], *, made_candidate: bool) -> list[Step]:
    """Delete the candidate, and the packages that neither serve nor are the previous one."""
    steps = delete_app(state.candidate, state.names.account, certainly=made_candidate)
    return [*steps, *map(delete_package, sorted(set(state.packages or ()) - keep))]


def delete_package(sha256: str) -> Step:
    """Delete a package from the storage account."""
    return Step(Action.DELETE, "package", sha256[:12], "delete_package", {"sha256": sha256})


def delete_app(app: AppState, account: str, *, certainly: bool = False) -> list[Step]:
    """Delete an app and what it stands on, as far as it is there; all of it `certainly` when the
    plan made it."""
    name, facts = app.name, {"account": account}
    rows = [
        (app.app is not None, "role assignment", name, "delete_roles", {}),
        (app.app is not None, "app", name, "delete_app", {}),
        (app.plan is not None, "plan", app_plan(name), "delete_app_plan", {}),
        (app.container, "container", container(name), "delete_container", facts),
    ]
    return [
        Step(Action.DELETE, kind, what, operation, parameters)
        for there, kind, what, operation, parameters in rows
        if there or certainly
    ]


def _wait(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})
