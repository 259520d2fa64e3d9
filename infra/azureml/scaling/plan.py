"""The steps that give a deployment its autoscale setting, and take it away.

A setting is one deployment's, and stays when that is deleted. So each new deployment gets its own
before it takes traffic, and a setting goes before its deployment does. The deployment that is kept
to go back to serves nobody: its setting keeps as few instances as there may be, and becomes that of
what serves before a roll-back gives it the traffic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import DEPLOYED, MADE, VERSION
from onnxferry.infra.azureml.scaling.settings import (
    Place,
    covers,
    is_resting,
    requests_of,
    resting,
    said_of,
    setting,
)
from onnxferry.infra.azureml.scaling.state import FoundSetting
from onnxferry.infra.azureml.scaling.target import Scaled
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.errors import NotAllowed, Refused
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.rehearsed_capacity import close_to

KIND = "autoscale setting"


def attached(state: CurrentState, desired: DesiredState) -> list[Step]:
    """What gives the candidate its own, before it takes traffic. Raises Refused where it has
    somebody else's, and NotAllowed where that may not be looked at."""
    name = desired.deployment
    if desired.scaling is None:
        return _without(state, [name])
    _refuse_others(state, name)
    step = _put(state, desired, name, _wanted(state, desired, name))
    proved = name in state.in_use
    return [step if proved else replace(step, removal=_delete(step.name, name))]


def rested(state: CurrentState, desired: DesiredState, kept: str) -> list[Step]:
    """What lets the deployment that is `kept` to go back to, if it has a setting of ours, have no
    more instances than it must, now that it serves nobody."""
    if desired.scaling is None:
        return _without(state, [kept])
    if state.scaling.ours(kept) is None:
        return []
    return [_put(state, desired, kept, resting(_wanted(state, desired, kept)))]


def followed(state: CurrentState, target: str) -> list[Step]:
    """Before a roll-back gives `target` the traffic: it is scaled as what serves is."""
    live, there = state.scaling.ours(state.serving), state.scaling.of(target)
    if there and not there.ours:
        return []
    if live is None or is_resting(live.properties):
        return _without(state, [target]) if there and is_resting(there.properties) else []
    wanted = said_of(live.properties, state.serving, target)
    if there and covers(there.properties, wanted):
        return []
    tags = {**live.tags, VERSION: state.version(target)}
    return [_step(state, target, there, {"tags": tags, "properties": wanted})]


def relieved(state: CurrentState, deployments: Collection[str]) -> list[Step]:
    """When a roll-back has taken the traffic, or its copies, from these: see `rested`."""
    found = ((name, state.scaling.ours(name)) for name in sorted(deployments))
    working = [(name, one) for name, one in found if one and not is_resting(one.properties)]
    return [
        _step(state, name, one, {"tags": one.tags, "properties": resting(one.properties)})
        for name, one in working
    ]


def swept(state: CurrentState, steps: Iterable[Step], keep: Collection[str] = ()) -> list[Step]:
    """As `detached`; and last the settings whose deployments are gone already are deleted."""
    there = {*keep, *(one.name for one in state.deployments)}
    gone = [one for one in state.scaling.settings if one.ours and one.deployment not in there]
    placed = detached(state, steps, keep)
    done = {step.name for step in placed}
    return [*placed, *(_deleted(one) for one in gone if one.name not in done)]


def detached(state: CurrentState, steps: Iterable[Step], keep: Collection[str] = ()) -> list[Step]:
    """`steps` with our settings deleted before the deployments that they delete, but for those of
    `keep`, which are made again."""
    left = {one.deployment: one for one in state.scaling.settings if one.ours}
    left = {name: one for name, one in left.items() if name not in keep}
    placed = list[Step]()
    for step in steps:
        by = {"delete_endpoint": list(left), "delete_deployment": [step.name]}
        going = [left.pop(name) for name in by.get(step.operation, ()) if name in left]
        placed += [*map(_deleted, going), step]
    return placed


def shown(state: CurrentState, desired: DesiredState) -> tuple[str, ...]:
    """The autoscaling of the candidate, for people."""
    how = _close(state, desired)
    if how is None:
        return ()
    why = f" ({how.requests.why})" if how.requests and how.requests.why else ""
    return (f"Autoscaling: {how}{why}.",)


def unread(state: CurrentState) -> tuple[str, ...]:
    """That the settings are not known, and why."""
    why = state.scaling.unread
    return (f"Whether there are autoscale settings is not known: {why}",) if why else ()


def fewer(state: CurrentState, target: str) -> tuple[str, ...]:
    """What to know before a roll-back to a deployment of fewer instances than serve now."""
    there, live = state.ours.get(target), state.ours.get(state.serving)
    if there is None or live is None or there.instances >= live.instances:
        return ()
    scaled = state.scaling.ours(state.serving)
    more = (
        "it is scaled out as its load grows, which takes minutes" if scaled else "it gets no more"
    )
    return (f"{target} runs {there.instances} instances where {live.instances} serve now; {more}.",)


def _wanted(state: CurrentState, desired: DesiredState, deployment: str) -> dict[str, Any]:
    how, names = _close(state, desired), state.names
    if how is None:
        raise ValueError("no autoscaling is configured")
    id_ = names.deployment_id(deployment)
    place = Place(id_.partition("/deployments/")[0], id_, deployment, state.location)
    return setting(names.autoscale(deployment), place, how)


def _close(state: CurrentState, desired: DesiredState) -> Scaled | None:
    """How the deployments are scaled: to the target of before, where that is no rehearsal's
    difference away."""
    how = desired.scaling
    if how is None or how.requests is None or not how.requests.why:
        return how
    found = [state.scaling.ours(name) for name in (desired.deployment, state.serving)]
    targets = (requests_of(one.properties) for one in found if one)
    before = next((value for value in targets if value is not None), None)
    return replace(how, requests=close_to(before, how.requests))


def _put(
    state: CurrentState, desired: DesiredState, deployment: str, properties: Mapping[str, Any]
) -> Step:
    """Create or change a setting, or leave it as it is."""
    names, there = state.names, state.scaling.ours(deployment)
    own = {**desired.tags, MADE: names.made}
    if there and covers(there.properties, properties) and covers(there.tags, own):
        return Step(Action.REUSE, KIND, there.name)
    version = state.version(deployment) or desired.version
    tags = {**(there.tags if there else {}), **own, VERSION: version, DEPLOYED: desired.deployed}
    return _step(state, deployment, there, {"tags": tags, "properties": properties})


def _step(
    state: CurrentState, deployment: str, there: FoundSetting | None, body: Mapping[str, Any]
) -> Step:
    facts = {"deployment": deployment, "location": state.location, **body}
    action = Action.UPDATE if there else Action.CREATE
    return Step(action, KIND, state.names.autoscale(deployment), "put_autoscale", facts)


def _without(state: CurrentState, deployments: Sequence[str]) -> list[Step]:
    there = (state.scaling.ours(name) for name in deployments)
    return [_deleted(one) for one in there if one]


def _deleted(one: FoundSetting) -> Step:
    return _delete(one.name, one.deployment)


def _delete(name: str, deployment: str) -> Step:
    return Step(Action.DELETE, KIND, name, "delete_autoscale", {"deployment": deployment})


def _refuse_others(state: CurrentState, deployment: str) -> None:
    where = f"deployment {deployment} of {state.names.where}"
    if state.scaling.unread:
        said = f"whether it has an autoscale setting is not known: {state.scaling.unread}"
        raise NotAllowed(f"{where}: {said}")
    there = state.scaling.of(deployment)
    if there and not there.ours:
        raise Refused(
            f"{where}: it has the autoscale setting {there.name}, which onnxferry did not make (no"
            f" tag {MADE}={state.names.made}), and Azure takes one a deployment. Delete it (az"
            f" monitor autoscale delete --resource-group {state.names.group} --name {there.name})"
            " and deploy again; or leave [azureml.scaling] out, and it stays"
        )
