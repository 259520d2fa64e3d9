"""The steps that delete what deploying made for one app, and nothing that the user gave or that
others use.

In an account that stays, the Functions host's own containers (azure-webjobs-...) stay too: all apps
share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnxferry.infra.clients.groups import Item
from onnxferry.infra.functions.names import MADE, PACKAGES
from onnxferry.infra.functions.plan import remove
from onnxferry.infra.functions.state import CurrentState
from onnxferry.infra.plan import Action, Step

# what the Functions host makes for itself
_PLATFORMS = ("azure-webjobs-", "AzureFunctionsDiagnosticEvents")


@dataclass(frozen=True)
class Surroundings:
    """What else is there: all resources of the group; the account's shares, queues and tables; the
    blobs of other apps in the packages' container; and the apps whose roles on the account are
    ours."""

    resources: Sequence[Item] = ()
    others: Sequence[str] = ()
    foreign: bool = False
    roles: Sequence[str] = ()


def delete(live: CurrentState, around: Surroundings) -> tuple[Step, ...]:
    """Candidate, app, packages; then the account and the group where we made them and nothing else
    is in them."""
    names = live.names
    steps = [*_apps(live, around)]
    if live.account is None:
        return (*steps, *_group(live, around, {names.account}))
    account = {"account": names.account}
    if _account_goes(live, around):
        steps.append(Step(Action.DELETE, "storage account", names.account, "delete_account"))
        return (*steps, *_group(live, around, {names.account}))
    known = live.packages or {}
    steps += [
        Step(Action.DELETE, "package", sha256[:12], "delete_package", {**account, "sha256": sha256})
        for sha256 in sorted(known)
    ]
    if PACKAGES in live.containers and not around.foreign:
        steps.append(Step(Action.DELETE, "container", PACKAGES, "delete_container", account))
    return (*steps, *_group(live, around, set()))


def _apps(live: CurrentState, around: Surroundings) -> Iterable[Step]:
    """Both apps with what they stand on; a role that outlived its app goes too."""
    for side in (live.candidate, live.main):
        if side.app is None and side.name in around.roles:
            account = {"account": live.names.account}
            yield Step(Action.DELETE, "role assignment", side.name, "delete_roles", account)
        yield from remove(side, live)


def _account_goes(live: CurrentState, around: Surroundings) -> bool:
    """Whether the account is ours and nothing in it is anybody else's."""
    own = {PACKAGES, *(s.name for s in remove(live.main, live) if s.resource == "container")}
    own |= {s.name for s in remove(live.candidate, live) if s.resource == "container"}
    strange = [name for name in live.containers - own if not name.startswith(_PLATFORMS)]
    others = [name for name in around.others if not name.split(" ")[-1].startswith(_PLATFORMS)]
    return live.account_is_ours and not strange and not others and not around.foreign


def _group(live: CurrentState, around: Surroundings, gone: set[str]) -> list[Step]:
    """The group, when we made it and only what this plan deletes is in it."""
    if live.group is None or MADE not in live.group.tags:
        return []
    ours = {live.main.name, live.candidate.name, *gone}
    ours |= {f.name for f in (live.main.farm, live.candidate.farm) if f}
    if {item.name.lower() for item in around.resources} - {name.lower() for name in ours}:
        return []
    return [Step(Action.DELETE, "resource group", live.names.group, "delete_group")]
