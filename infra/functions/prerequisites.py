"""The steps that make, or bring to what deploy.toml says, what a version stands on: group, account,
rights, logs, and an app with its plan. Nothing is read or written here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxferry.infra.clients.azure_groups import ArmResource
from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, BLOB_OWNER, METRICS_PUBLISHER
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.functions import sign_in
from onnxferry.infra.functions.app_config import OFF, app_changes
from onnxferry.infra.functions.app_settings import setting_changes
from onnxferry.infra.functions.comparison import merged
from onnxferry.infra.functions.deletion import COMPONENT, WORKSPACE, delete_app, delete_package
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import PACKAGES, app_plan, container
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.functions.tags import tag_changes
from onnxferry.infra.plan import Action, Step, unless

PENDING = frozenset(
    {"Creating", "Updating", "InProgress", "Accepted", "ResolvingDNS", "Provisioning", "Deleting"}
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
    packages, the right to its blobs. Before that, a token as callers need it, to prove the app."""
    names, place = state.names, desired.place
    kind, account = "storage account", state.account
    steps = [*_token(desired)]
    steps.append(unless(bool(state.group), "resource group", names.group, "create_group", place))
    if account and account.state in PENDING:
        steps.append(wait_for(kind, names.account, account.state))
    else:
        there = account is not None and account.state != "Failed"
        steps.append(unless(there, kind, names.account, "create_account", place))
    there = PACKAGES in state.containers
    return [*steps, _create_container(there, PACKAGES, state, desired), *access(state)]


def upload(state: CurrentState, desired: DesiredState) -> Step:
    package: dict[str, Any] = {**desired.package, "metadata": desired.metadata}
    package["metadata"]["python"] = desired.python
    package["wait_for_role"] = state.account_is_ours  # we gave it a moment ago
    there, version = desired.sha256 in (state.packages or ()), desired.sha256[:12]
    step = unless(there, "package", version, "upload_package", package)
    return step if there else replace(step, removal=delete_package(desired.sha256))


def telemetry(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Where the apps send what they print."""
    names, place = state.names, desired.place
    rows = [
        (WORKSPACE, state.workspace, names.workspace_id, "create_workspace"),
        (COMPONENT, state.component, names.component_id, "create_component"),
    ]
    steps = []
    for kind, found, id_, operation in rows:
        there, facts = found is not None and found.state != "Failed", {**place, "id": id_}
        steps.append(unless(there, kind, id_.rpartition("/")[2], operation, facts))
    return steps


def _create_container(there: bool, name: str, state: CurrentState, desired: DesiredState) -> Step:
    facts = {"account": state.names.account, "metadata": desired.metadata}
    return unless(there, "container", name, "create_container", facts)


def put_app(
    app: AppState, state: CurrentState, desired: DesiredState, *, change: bool = True
) -> list[Step]:
    """An app with its plan, container and roles. Unless `change`, a working app that is there stays
    as it is."""
    names, plan = state.names, app_plan(app.name)
    there = app.plan is not None and app.plan.state != "Failed"
    steps = [unless(there, "plan", plan, "create_app_plan", desired.place)]
    if app.plan and app.plan.state in PENDING:
        steps = [wait_for("plan", plan, app.plan.state)]
    there, name = app.container is not None, container(app.name)
    steps.append(_create_container(there, name, state, desired))
    steps += _app(app, desired, change=change)
    roles = [(app.role, app.name, BLOB_OWNER, names.account_id)]
    if desired.identity:
        roles = []  # who made it has given it the roles
    elif desired.telemetry:
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


def _app(app: AppState, desired: DesiredState, *, change: bool) -> list[Step]:
    if app.app is None:
        facts = {"site": desired.site(app.name), "sign_in": desired.sign_in}
        return [Step(Action.CREATE, "app", app.name, "create_app", facts)]
    steps = [wait_for("app", app.name, app.app.state)] if app.app.state in PENDING else []
    changes = app_changes(app, desired) if change or app.app.state == "Failed" else {}
    changes.pop(OFF, None)
    if app.app.state == "Failed":
        # it is put again as it shall be; what serves keeps its Python until its successor is there
        config = merged(app.app.config, desired.config(app.name))
        if not change:
            config["runtime"]["version"] = app.python
        changes |= {"config": config, "settings": {"set": desired.settings}}
    if changes:
        steps.append(Step(Action.UPDATE, "app", app.name, "change_app", changes))
    variables = setting_changes(app.settings, desired.environment)
    if change and variables and "settings" not in changes:
        what = "environment of app"
        steps.append(Step(Action.UPDATE, what, app.name, "change_settings", variables))
    return steps or [Step(Action.REUSE, "app", app.name)]


def _token(desired: DesiredState) -> list[Step]:
    audience = sign_in.audience(desired.sign_in)
    facts = {"audience": audience}
    return [Step(Action.CHECK, "token for", audience, "check_token", facts)] if audience else []


def retag(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Bring the tags of what was made before to what deploy.toml says."""
    names, app = state.names, state.main
    rows: list[tuple[str, str, ArmResource | FunctionApp | None]] = [
        ("resource group", names.group_id, state.group),
        ("storage account", names.account_id if state.account_is_ours else "", state.account),
        ("plan", names.app_plan_id(app.name), app.plan),
        ("app", app.app.id if app.app else "", app.app),
        (WORKSPACE, names.workspace_id, state.workspace),
        (COMPONENT, names.component_id, state.component),
    ]
    steps = []
    for kind, id_, found in rows:
        ours = bool(id_) and found is not None and names.marks(found.tags)
        changes = tag_changes(found.tags, desired.tags) if found and ours else {}
        if found and changes:
            what, facts = f"tags of {kind}", {"id": id_, **changes}
            steps.append(Step(Action.UPDATE, what, found.name, "change_tags", facts))
    return steps


def _last(id_: str) -> str:
    return id_.rpartition("/")[2]


def wait_for(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})
