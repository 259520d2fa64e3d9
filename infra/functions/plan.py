"""The steps of a deployment and of a roll-back, made of the current and the desired state. Nothing
is read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.clients.azure_groups import ArmResource
from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, BLOB_OWNER, METRICS_PUBLISHER
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.errors import NameTaken, NotFound, Unavailable
from onnxferry.infra.functions.app_settings import reverse, setting_changes
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import (
    MADE,
    PACKAGES,
    PUBLISHING,
    SCALE,
    VERSION,
    app_plan,
    container,
)
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.functions.tags import tag_changes
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
    for app in (state.main, state.candidate):
        for kind, found in (("app", app.app), ("plan", app.plan)):
            if found and not state.names.marks(found.tags):
                taken = f"Azure Functions {kind} {found.name} of resource group {state.names.group}"
                raise NameTaken(f"{taken}: {_NOT_MADE.format(state.names.app)}. {_OTHER_NAME}")


def check_telemetry(state: CurrentState) -> None:
    """Raise NameTaken when what logs shall go to is there and not ours."""
    for kind, found in ((_WORKSPACE, state.workspace), (_COMPONENT, state.component)):
        if found and not state.ours(found):
            taken = f"{kind} {found.name} of resource group {state.names.group}"
            off = "Or set application_insights = false in [functions] of deploy.toml"
            why = f"{_NOT_MADE.format(state.names.app)}. {_OTHER_NAME}. {off}"
            raise NameTaken(f"{taken}: {why}")


_NOT_MADE = f"it is there, and onnxferry did not make it (no tag {MADE}={{}})"
_OTHER_NAME = "Choose another name: --name, or name in [model] of deploy.toml"
_WORKSPACE, _COMPONENT = "Log Analytics workspace", "Application Insights"


def deploy(state: CurrentState, desired: DesiredState) -> tuple[Step, ...]:
    """The steps that end with the package of `desired` live, and nothing of the way there left."""
    main, sha256 = state.main, desired.sha256
    if not main.version:
        steps = [*_proved(main, state, desired), _record(main, desired.deployed, sha256, "")]
    elif main.version == sha256 and not main.publishing and not _strays(main, desired):
        steps = [*_put_app(main, state, desired), *_smoke(main.name, desired.package)]
    else:
        steps = [*_put_app(main, state, desired, change=False), *_update(state, desired)]
    keep = {sha256, main.previous if main.version == sha256 else main.version}
    made = any(step.name == state.candidate.name for step in steps)
    return (
        *foundation(state, desired),
        _upload(state, desired),
        *(_telemetry(state, desired) if desired.telemetry else ()),
        *steps,
        *_tags(state, desired),
        *_delete_unused(state, keep, made_candidate=made),
    )


def rollback(state: CurrentState, deployed: str) -> tuple[Step, ...]:
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
        *access(state),
        Step(Action.CHECK, "package", target[:12], "fetch_package", package),
        _promote(main, package, config, {}),
        *_smoke(main.name, package),
        _record(main, deployed, target, before),
    )


def access(state: CurrentState) -> list[Step]:
    """The signed-in user's right to the blobs of an account of ours, which no owner's role
    includes."""
    if not state.account_is_ours:
        return []
    facts = {"role": BLOB_CONTRIBUTOR, "scope": state.names.account_id}
    there = state.uploader and state.packages is not None
    return [unless(there, "role assignment", "signed-in user", "give_access", facts)]


def foundation(state: CurrentState, desired: DesiredState) -> list[Step]:
    """What the lease and all apps stand on: resource group, storage account, the container of
    packages, the right to its blobs."""
    names, place = state.names, desired.place
    kind, account = "storage account", state.account
    steps = [unless(bool(state.group), "resource group", names.group, "create_group", place)]
    if account and account.state in _PENDING:
        steps.append(_wait(kind, names.account, account.state))
    else:
        there = account is not None and account.state != "Failed"
        steps.append(unless(there, kind, names.account, "create_account", place))
    there = PACKAGES in state.containers
    return [*steps, _create_container(there, PACKAGES, state, desired), *access(state)]


def _upload(state: CurrentState, desired: DesiredState) -> Step:
    package: dict[str, Any] = {**desired.package, "metadata": desired.metadata}
    package["metadata"]["python"] = desired.python
    package["wait_for_role"] = state.account_is_ours  # we gave it a moment ago
    there, version = desired.sha256 in (state.packages or ()), desired.sha256[:12]
    step = unless(there, "package", version, "upload_package", package)
    return step if there else replace(step, removal=delete_package(desired.sha256))


def _telemetry(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Where the apps send what they print."""
    names, place = state.names, desired.place
    rows = [
        (_WORKSPACE, state.workspace, names.workspace_id, "create_workspace"),
        (_COMPONENT, state.component, names.component_id, "create_component"),
    ]
    steps = []
    for kind, found, id_, operation in rows:
        there, facts = found is not None and found.state != "Failed", {**place, "id": id_}
        steps.append(unless(there, kind, id_.rpartition("/")[2], operation, facts))
    return steps


def _strays(app: AppState, desired: DesiredState) -> bool:
    """Whether the app differs from what deploy.toml says."""
    changes = setting_changes(app.settings, desired.environment)
    return bool(changes) or _drifts(app, desired.config(app.name), desired.scaled)


def _drifts(app: AppState, config: Mapping[str, Any], scaled: str | None = None) -> bool:
    """Whether the app's functionAppConfig differs in a value that `config` sets, or what is
    remembered of it."""
    if app.app is None:
        return False
    return _differs(config, app.app.config) or scaled not in (None, app.scaled)


def _differs(desired: Any, found: Any) -> bool:
    if isinstance(desired, Mapping):
        return not isinstance(found, Mapping) or any(
            _differs(value, found.get(key)) for key, value in desired.items()
        )
    if desired is None:
        return bool(found)
    return str(desired).rstrip("/").lower() != str(found).rstrip("/").lower()


def _create_container(there: bool, name: str, state: CurrentState, desired: DesiredState) -> Step:
    facts = {"account": state.names.account, "metadata": desired.metadata}
    return unless(there, "container", name, "create_container", facts)


def _put_app(
    app: AppState, state: CurrentState, desired: DesiredState, *, change: bool = True
) -> list[Step]:
    """An app with its plan, container and roles. Unless `change`, a working app that is there stays
    as it is."""
    names, plan = state.names, app_plan(app.name)
    there = app.plan is not None and app.plan.state != "Failed"
    steps = [unless(there, "plan", plan, "create_app_plan", desired.place)]
    if app.plan and app.plan.state in _PENDING:
        steps = [_wait("plan", plan, app.plan.state)]
    there, name = app.container is not None, container(app.name)
    steps.append(_create_container(there, name, state, desired))
    steps += _app(app, desired, names.account, change=change)
    roles = [(app.role, app.name, BLOB_OWNER, names.account_id)]
    if desired.telemetry:
        name = f"{app.name} on {_last(names.component_id)}"
        roles.append((app.publisher, name, METRICS_PUBLISHER, names.component_id))
    for there, name, role, scope in roles:
        facts = {"role": role, "scope": scope, "app": app.name}
        steps.append(unless(there, "role assignment", name, "assign_role", facts))
    return _with_removals(steps, app, state)


def _with_removals(steps: list[Step], app: AppState, state: CurrentState) -> list[Step]:
    """`steps` with what removes that which they create, should it not prove itself; what serves is
    left as it is."""
    if app.version:
        return steps
    removals = {(s.resource, s.name): s for s in delete_app(app, state, certainly=True)}
    return [
        replace(step, removal=removals.get((step.resource, step.name)))
        if step.action is Action.CREATE
        else step
        for step in steps
    ]


def _app(app: AppState, desired: DesiredState, account: str, *, change: bool) -> list[Step]:
    config, settings = desired.config(app.name), {"settings": desired.settings(account)}
    facts: dict[str, Any] = {**desired.app_place, "config": config}
    if app.app is None:
        return [Step(Action.CREATE, "app", app.name, "put_app", {**facts, **settings})]
    steps = [_wait("app", app.name, app.app.state)] if app.app.state in _PENDING else []
    failed = app.app.state == "Failed"
    if failed or (change and _drifts(app, config, desired.scaled)):
        if not change:
            config["runtime"]["version"] = app.python
        facts = {"config": _merged(app.app.config, config), "tags": {SCALE: desired.scaled}}
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
    before = main.previous if main.version == sha256 else main.version
    return [
        *(_proved(state.candidate, state, desired) if stale else ()),
        _promote_desired(main, desired),
        *_smoke(main.name, desired.package),
        _record(main, desired.deployed, sha256, before),
    ]


def _proved(app: AppState, state: CurrentState, desired: DesiredState) -> list[Step]:
    """The app with the package, which answers the golden request."""
    publish = Step(Action.UPDATE, "package of app", app.name, "publish", desired.package)
    return [*_put_app(app, state, desired), publish, *_smoke(app.name, desired.package)]


def _promote_desired(main: AppState, desired: DesiredState) -> Step:
    changes = setting_changes(main.settings, desired.environment)
    return _promote(main, desired.package, desired.config(main.name), changes, desired.scaled)


def _promote(
    main: AppState,
    package: Mapping[str, str],
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    scaled: str | None = None,
) -> Step:
    """Publish to the app that serves, with its configuration and changes of its settings, unless
    another run has been there. The way back is to publish what served, with the configuration and
    the settings of now."""
    now = dict(main.app.config) if main.app else {}
    facts: dict[str, Any] = {**package, "seen": main.seen}
    back: dict[str, Any] = {"sha256": main.version, "previous": main.previous}
    back["seen"] = {VERSION: main.version, PUBLISHING: package["sha256"]}
    if _drifts(main, config, scaled):
        facts["config"], back["config"] = _merged(now, config), now
        if scaled is not None:
            facts["tags"], back["tags"] = {SCALE: scaled}, {SCALE: main.scaled}
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


def _record(app: AppState, deployed: str, sha256: str, previous: str) -> Step:
    facts = {"version": sha256, "previous": previous, "deployed": deployed}
    return Step(Action.UPDATE, "versions in the tags of app", app.name, "record_version", facts)


def _tags(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Bring the tags of what was made before to what deploy.toml says."""
    names, app = state.names, state.main
    rows: list[tuple[str, str, ArmResource | FunctionApp | None]] = [
        ("resource group", names.group_id, state.group),
        ("storage account", names.account_id if state.account_is_ours else "", state.account),
        ("plan", names.app_plan_id(app.name), app.plan),
        ("app", app.app.id if app.app else "", app.app),
        (_WORKSPACE, names.workspace_id, state.workspace),
        (_COMPONENT, names.component_id, state.component),
    ]
    steps = []
    for kind, id_, found in rows:
        ours = bool(id_) and found is not None and names.marks(found.tags)
        changes = tag_changes(found.tags, desired.tags) if found and ours else {}
        if found and changes:
            what, facts = f"tags of {kind}", {"id": id_, **changes}
            steps.append(Step(Action.UPDATE, what, found.name, "change_tags", facts))
    return steps


def _delete_unused(state: CurrentState, keep: set[str], *, made_candidate: bool) -> list[Step]:
    """Delete the candidate, and the packages that neither serve nor are the previous one."""
    steps = delete_app(state.candidate, state, certainly=made_candidate)
    return [*steps, *map(delete_package, sorted(set(state.unused) - keep))]


def delete_package(sha256: str) -> Step:
    """Delete a package from the storage account."""
    return Step(Action.DELETE, "package", sha256[:12], "delete_package", {"sha256": sha256})


def delete_app(app: AppState, state: CurrentState, *, certainly: bool = False) -> list[Step]:
    """Delete an app and what it stands on, as far as it is there and ours; all of it `certainly`
    when the plan made it. One that has a version goes only while it has."""
    names, name = state.names, app.name
    scopes = [names.account_id, *([names.component_id] if state.component or certainly else ())]
    seen = {"seen": app.seen} if app.app else {}
    facts = {"account": names.account}
    made = app.container is None or names.marks(app.container)
    rows: list[tuple[bool, str, str, str, Mapping[str, Any]]] = [
        (app.app is not None, "role assignment", name, "delete_roles", {"scopes": scopes}),
        (app.app is not None, "app", name, "delete_app", seen),
        (app.plan is not None, "plan", app_plan(name), "delete_app_plan", {}),
        (app.container is not None, "container", container(name), "delete_container", facts),
    ]
    return [
        Step(Action.DELETE, kind, what, operation, parameters)
        for there, kind, what, operation, parameters in rows
        if (there or certainly) and (made or kind != "container")
    ]


def _last(id_: str) -> str:
    return id_.rpartition("/")[2]


def _wait(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})
