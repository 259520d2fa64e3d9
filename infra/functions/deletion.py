"""The steps that delete what deploying made for one app, and nothing that the user gave or that
others use. Nothing is read or written here.

In an account that stays, the Functions host's own containers (azure-webjobs-...) stay too: all apps
share them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from onnxferry.infra.functions.names import MADE, PACKAGES, app_plan, container
from onnxferry.infra.functions.state import AppState, CurrentState, SharedResources
from onnxferry.infra.plan import Action, Step

WORKSPACE, COMPONENT = "Log Analytics workspace", "Application Insights"
# what the Functions host makes for itself
_PLATFORMS = ("azure-webjobs-", "AzureFunctionsDiagnosticEvents")
# what the platform makes beside an Application Insights component, and leaves
_BESIDE = re.compile(
    r".*/providers/microsoft\.alertsmanagement/smartdetectoralertrules/failure anomalies - [^/]+"
    r"|.*/providers/microsoft\.insights/actiongroups/application insights smart detection"
)


def delete(state: CurrentState, shared: SharedResources) -> tuple[Step, ...]:
    """Candidate, app, logs, packages, lease; then the account and the group where we made them and
    nothing else is in them."""
    if state.group is None:
        return ()
    if state.group.state == "Deleting":
        facts = {"state": state.group.state}
        wait = Step(Action.CHECK, "resource group", state.group.name, "wait_until_stable", facts)
        return (wait,)
    steps = [*_apps(state, shared), *_telemetry(state), *_storage(state, shared)]
    ids = [id_.lower() for id_ in shared.resources]
    if state.ours(state.group) and not left_in_group(ids, _deleted(state, steps)):
        facts_ = {"resources": ids}
        name = state.group.name
        steps.append(Step(Action.DELETE, "resource group", name, "delete_group", facts_))
    return tuple(steps)


def delete_unproved(state: CurrentState) -> tuple[Step, ...]:
    """The candidate, and packages that neither serve nor served; where no version of the app has
    proved itself, the app and its logs, too."""
    main = state.main
    steps = delete_app(state.candidate, state)
    if not main.version:
        steps += [*delete_app(main, state), *_telemetry(state)]
    unused = set(state.unused) - {main.version, main.previous, main.publishing}
    return (*steps, *map(delete_package, sorted(unused)))


def delete_package(sha256: str) -> Step:
    """Delete a package from the storage account."""
    return Step(Action.DELETE, "package", sha256[:12], "delete_package", {"sha256": sha256})


def delete_app(app: AppState, state: CurrentState, *, certainly: bool = False) -> list[Step]:
    """Delete an app and what it stands on, as far as it is there and ours; all of it `certainly`
    when the plan made it. One that has a version goes only while it has."""
    names, name = state.names, app.name
    roles = delete_roles(name, state, certainly=certainly)
    seen = {"seen": app.seen} if app.app else {}
    facts = {"account": names.account}
    made = app.container is None or names.marks(app.container)
    rows: list[tuple[bool, str, str, str, Mapping[str, Any]]] = [
        (app.app is not None, roles.resource, name, roles.operation, roles.parameters),
        (app.app is not None, "app", name, "delete_app", seen),
        (app.plan is not None, "plan", app_plan(name), "delete_app_plan", {}),
        (app.container is not None, "container", container(name), "delete_container", facts),
    ]
    return [
        Step(Action.DELETE, kind, what, operation, parameters)
        for there, kind, what, operation, parameters in rows
        if (there or certainly) and (made or kind != "container")
    ]


def delete_roles(app: str, state: CurrentState, *, certainly: bool = False) -> Step:
    """Delete the roles that were given to an app's own identity."""
    names = state.names
    scopes = [names.account_id, *([names.component_id] if state.component or certainly else ())]
    return Step(Action.DELETE, "role assignment", app, "delete_roles", {"scopes": scopes})


def account_goes(state: CurrentState, shared: SharedResources) -> bool:
    """Whether the account is ours and nothing in it is anybody else's."""
    if state.account is None or not state.account_is_ours or shared.foreign:
        return False
    own = {PACKAGES} if state.container is None or MADE in state.container else set()
    for app in (state.main, state.candidate):
        own |= {container(app.name)} if state.names.marks(app.container or {}) else set()
    others = [*(state.containers - own), *(name.split(" ")[-1] for name in shared.others)]
    return all(name.startswith(_PLATFORMS) for name in others)


def left_in_group(there: Iterable[str], gone: Collection[str]) -> list[str]:
    """The ids of what is `there` besides what is `gone` and what the platform made."""
    ids = (id_.lower() for id_ in there)
    return [id_ for id_ in ids if id_ not in gone and not _BESIDE.fullmatch(id_)]


def _apps(state: CurrentState, shared: SharedResources) -> Iterable[Step]:
    """Both apps with what they stand on; a role that outlived its app goes too."""
    for app in (state.candidate, state.main):
        if app.app is None and app.name in shared.roles:
            facts = {"scopes": [state.names.account_id]}
            yield Step(Action.DELETE, "role assignment", app.name, "delete_roles", facts)
        yield from delete_app(app, state)


def _telemetry(state: CurrentState) -> Iterable[Step]:
    rows = (
        (COMPONENT, state.component, state.names.component_id, "delete_component"),
        (WORKSPACE, state.workspace, state.names.workspace_id, "delete_workspace"),
    )
    for kind, found, id_, operation in rows:
        if found and state.ours(found):
            yield Step(Action.DELETE, kind, found.name, operation, {"id": id_})


def _storage(state: CurrentState, shared: SharedResources) -> Iterable[Step]:
    account = state.names.account
    if account_goes(state, shared):
        yield Step(Action.DELETE, "storage account", account, "delete_account")
        return
    yield from map(delete_package, sorted(state.unused))
    if state.container is None:
        return
    if MADE in state.container and not shared.foreign:
        facts = {"account": account}
        yield Step(Action.DELETE, "container", PACKAGES, "delete_container", facts)
    else:
        yield Step(Action.DELETE, "lease", state.names.app, "delete_lease")


def _deleted(state: CurrentState, steps: Iterable[Step]) -> set[str]:
    """The ids of the resources that `steps` delete."""
    names, ids = state.names, set[str]()
    for app in (state.main, state.candidate):
        ids |= {f"{names.group_id}/providers/Microsoft.Web/sites/{app.name}"} if app.app else set()
        ids |= {names.app_plan_id(app.name)} if app.plan else set()
    kinds = {step.resource for step in steps}
    ids |= {names.account_id} if "storage account" in kinds else set()
    ids |= {names.component_id} if COMPONENT in kinds else set()
    ids |= {names.workspace_id} if WORKSPACE in kinds else set()
    return {id_.lower() for id_ in ids}
