"""The steps that delete what deploying made for one app, and nothing that the user gave or that
others use. Nothing is read or written here.

In an account that stays, the Functions host's own containers (azure-webjobs-...) stay too: all apps
share them.
"""

from __future__ import annotations

from collections.abc import Iterable

from onnxferry.infra.functions.names import MADE, PACKAGES, container
from onnxferry.infra.functions.plan import delete_app, delete_package
from onnxferry.infra.functions.state import CurrentState, SharedResources
from onnxferry.infra.plan import Action, Step

# what the Functions host makes for itself
_PLATFORMS = ("azure-webjobs-", "AzureFunctionsDiagnosticEvents")


def delete(state: CurrentState, shared: SharedResources) -> tuple[Step, ...]:
    """Candidate, app, packages; then the account and the group where we made them and nothing else
    is in them."""
    if state.group is None:
        return ()
    if state.group.state == "Deleting":
        facts = {"state": state.group.state}
        wait = Step(Action.CHECK, "resource group", state.group.name, "wait_until_stable", facts)
        return (wait,)
    steps, account = [*_apps(state, shared)], state.names.account
    if _account_goes(state, shared):
        steps.append(Step(Action.DELETE, "storage account", account, "delete_account"))
    elif state.account:
        steps += map(delete_package, sorted(state.packages or ()))
        if PACKAGES in state.containers and not shared.foreign:
            facts = {"account": account}
            steps.append(Step(Action.DELETE, "container", PACKAGES, "delete_container", facts))
    if MADE in state.group.tags and _only_ours(shared, steps):
        steps.append(Step(Action.DELETE, "resource group", state.group.name, "delete_group"))
    return tuple(steps)


def _apps(state: CurrentState, shared: SharedResources) -> Iterable[Step]:
    """Both apps with what they stand on; a role that outlived its app goes too."""
    for app in (state.candidate, state.main):
        if app.app is None and app.name in shared.roles:
            yield Step(Action.DELETE, "role assignment", app.name, "delete_roles")
        yield from delete_app(app, state.names.account)


def _account_goes(state: CurrentState, shared: SharedResources) -> bool:
    """Whether the account is ours and nothing in it is anybody else's."""
    if state.account is None or not state.account_is_ours or shared.foreign:
        return False
    own = {PACKAGES, *(container(app.name) for app in (state.main, state.candidate))}
    others = [*(state.containers - own), *(name.split(" ")[-1] for name in shared.others)]
    return all(name.startswith(_PLATFORMS) for name in others)


def _only_ours(shared: SharedResources, steps: Iterable[Step]) -> bool:
    """Whether `steps` delete all that is in the group."""
    kinds = ("app", "plan", "storage account")
    gone = {step.name.lower() for step in steps if step.resource in kinds}
    return {name.lower() for name in shared.resources} <= gone
