"""How an endpoint comes to a configuration, as steps. A candidate, a second endpoint of the same
configuration, must answer the golden request; it is deleted before the first endpoint is pointed to
that configuration, so that no more than two fleets of instances ever run.

What changes or deletes an endpoint carries what was `seen` there, and is refused where that is no
longer so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker import async_inference, blue_green, moves
from onnxferry.infra.sagemaker.blue_green import at_once
from onnxferry.infra.sagemaker.fleet import (
    Fleets,
    Variant,
    Variants,
    added,
    configured,
    fewest,
    retention,
    running,
    shadows_of,
    updated,
)
from onnxferry.infra.sagemaker.names import DEPLOYED_TAG, HISTORY_TAG, VERSION_TAG, Names, tags
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, CurrentState, Endpoint
from onnxferry.system.exits import program

KEPT = 2  # versions: what serves, and what served before
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Goal:
    """The configuration that is to serve, its package (s3://...) and its production variants;
    `deployment` is the DeploymentConfig of the update to it, empty where SageMaker takes none. A
    `candidate` is what proves itself first, where the goal has it as a shadow only, and is not
    recorded as what serves."""

    config: str
    url: str
    variant: Variant
    deployment: Mapping[str, Any] = field(default_factory=at_once)
    candidate: Goal | None = None


def serving(state: CurrentState, goal: Goal) -> Steps:
    """From whatever the endpoint is to `goal` serving, proved."""
    main, names, config = state.main, state.names, goal.config
    if main is None or main.state == "Deleting":
        made, proof = _created(names, names.endpoint, config), smoke(names, names.endpoint, goal)
        up: Steps = (*delete_candidate(state), *_stable(main), made, proof)
    elif _on_its_way(main, config) or (main.state in BROKEN and not main.history):
        up = (*moved(state, goal), *delete_candidate(state))
    else:
        first = _candidate(state, goal.candidate or goal)
        up = (*_stable(main), *first, *_pointed(state, main, goal))
    return *up, *(() if goal.candidate else proved(state, config))


def moved(state: CurrentState, goal: Goal) -> Steps:
    """The endpoint at `goal` without a candidate, smoked."""
    main = state.main
    if main is None:
        return ()
    if _on_its_way(main, goal.config):
        return _arriving(state, main, goal), smoke(state.names, main.name, goal)
    return *_stable(main), *_pointed(state, main, goal)


def _on_its_way(main: Endpoint, config: str) -> bool:
    return main.coming == config and main.state not in {*BROKEN, "UpdateRollbackFailed"}


def _arriving(state: CurrentState, main: Endpoint, goal: Goal) -> Step:
    """Wait for what an interrupted run began. Where that fails, what proved itself before is put
    back, or there is nothing that did, and the endpoint is removed."""
    awaited = _awaited(main.name, goal.config)
    if main.history[:1] == (goal.config,) and not main.pending:  # else an autoscaler is at work
        return Step(Action.REUSE, "endpoint", main.name) if main.state == "InService" else awaited
    if state.previous:
        return replace(awaited, restore=_point(state, state.previous, goal, seen=goal.config))
    return awaited if main.history else replace(awaited, removal=deleted_found(main))


def _awaited(name: str, config: str) -> Step:
    request = {"EndpointConfigName": config}
    return Step(Action.CHECK, "endpoint", name, "await_endpoint", request)


def _candidate(state: CurrentState, goal: Goal) -> Steps:
    """A second endpoint with the configuration, proved, and deleted."""
    found, names = state.candidate, state.names
    made: Steps = (_created(names, names.candidate, goal.config),)
    if found and found.coming == goal.config and found.state in {"Creating", "InService"}:
        made = (_awaited(names.candidate, goal.config),)
    elif found:
        made = (deleted_found(found), *made)
    gone = deleted_endpoint(names.candidate, goal.config)
    return *made, smoke(names, names.candidate, goal), gone


def _created(names: Names, name: str, config: str, history: tuple[str, ...] = ()) -> Step:
    """A new endpoint; removed, unless it proves itself."""
    request = {"EndpointName": name, "EndpointConfigName": config}
    tagged = {**request, "Tags": names.tags(names.version_of(config), history)}
    step = Step(Action.CREATE, "endpoint", name, "create_endpoint", tagged)
    return replace(step, removal=deleted_endpoint(name, config))


def _pointed(state: CurrentState, main: Endpoint, goal: Goal) -> Steps:
    """The endpoint moved to `goal` and smoked, else taken back."""
    proof = smoke(state.names, main.name, goal)
    if main.state not in BROKEN:
        _refuse_unknown(state, main)
        moves.check(state.names, state.variant, goal.variant)
        back = _point(state, main.config, goal, seen=goal.config)
        if moves.is_final(state.variant, goal.variant):
            back = replace(back, parameters={**back.parameters, "recreate": True})
        return replace(_point(state, goal.config, goal, seen=main.config), restore=back), proof
    made = _created(state.names, main.name, goal.config, main.history)
    if kept := next((c for c in main.history if c in state.configs and c != goal.config), ""):
        back = _point(state, kept, goal, seen=goal.config)
        made = replace(made, restore=back, removal=None)
    return deleted_found(main), made, proof


def _refuse_unknown(state: CurrentState, main: Endpoint) -> None:
    if state.variant is None:
        raise NotFound(
            f"AWS {state.names.region}, endpoint {main.name}: its configuration {main.config} has"
            " been deleted, so that SageMaker changes it no more. It serves on: deploy under"
            f" another --name and lead clients there, or {program('delete')} it and deploy again"
        )


def _point(state: CurrentState, config: str, goal: Goal, seen: str) -> Step:
    """To the goal's configuration as it says, to another at once. "create" is for an endpoint that
    an update has broken."""
    names, main = state.names, state.main
    what = {"EndpointName": names.endpoint, "EndpointConfigName": config}
    rollout = {"DeploymentConfig": goal.deployment if config == goal.config else at_once()}
    if not (goal.deployment and moves.takes_policy(state.variant, goal.variant)):
        rollout = {}  # nothing to choose
    pending = [main.pending] if main and main.pending else []
    parameters = {
        "update": {**what, **rollout, **_retention(state, goal)},
        "create": {**what, "Tags": names.tags(names.version_of(config))},
        "seen": [seen, *(one for one in pending if one != seen)],
    }
    return Step(Action.UPDATE, "endpoint", names.endpoint, "promote", parameters)


def _retention(state: CurrentState, goal: Goal) -> dict[str, Any]:
    return retention(state.variant, goal.variant, _counts(state))


def smoke(names: Names, name: str, goal: Goal) -> Step:
    """The golden request to an endpoint."""
    kind, request = "golden request to endpoint", dict[str, Any](package=goal.url)
    if isinstance(goal.variant, Variants) and (asked := goal.variant.asynchronous):
        request |= {"async": async_inference.places(names, asked), "config": goal.config}
    return Step(Action.CHECK, kind, name, "smoke", request, proves=True)


def proved(state: CurrentState, config: str) -> Steps:
    """The tags that say what has proved itself and when, unless they say so already."""
    main, names = state.main, state.names
    before = main.history if main and main.state != "Deleting" else ()
    history = (config, *(c for c in before if c != config))[:KEPT]
    if history == before:
        return ()
    said = {VERSION_TAG: names.version_of(config), DEPLOYED_TAG: names.now}
    request = {"Tags": tags({HISTORY_TAG: " ".join(history), **said}), "seen": [config]}
    kind = "history of endpoint"
    return (Step(Action.UPDATE, kind, names.endpoint, "record_history", request),)


def _stable(found: Endpoint | None) -> Steps:
    if found is None or found.state not in BUSY:
        return ()
    request = {"state": found.state}
    return (Step(Action.CHECK, "endpoint", found.name, "wait_until_stable", request),)


def delete_candidate(state: CurrentState) -> Steps:
    """Delete the candidate that is there."""
    return (deleted_found(state.candidate),) if state.candidate else ()


def deleted_endpoint(name: str, *seen: str) -> Step:
    """A step that deletes an endpoint with one of the `seen` configurations."""
    request = {"seen": [one for one in seen if one]}
    return Step(Action.DELETE, "endpoint", name, "delete_endpoint", request)


def deleted_found(found: Endpoint) -> Step:
    """A step that deletes an endpoint as it was found."""
    return deleted_endpoint(found.name, found.config, found.pending)


def peak(state: CurrentState, wanted: Variant, steps: Iterable[Step]) -> Fleets:
    """The most that runs at a time while `steps` bring up endpoints with the production variants
    `wanted`; nothing where they bring up none."""
    begun = [s.name for s in steps if s.operation in ("create_endpoint", "promote")]
    if not begun:
        return Fleets()
    fleets = [will_run(state, wanted)]
    if state.names.candidate in begun and not shadows_of(wanted):  # a shadow is no more than that
        fleets.append(configured(wanted))
    counts = _counts(state)
    now = running(state.variant, counts) if state.variant and counts else Fleets()
    return added((now, max(fleets, key=lambda fleet: fleet.count)))


def _counts(state: CurrentState) -> Mapping[str, int]:
    """Instances of the endpoint that serves, by variant; none of one that is to be deleted
    first."""
    main = state.main
    return main.counts if main and main.state not in {*BROKEN, "Deleting"} else {}


def will_run(state: CurrentState, wanted: Variant) -> Fleets:
    """What serves in the end, with the production variants `wanted`."""
    return updated(state.variant, _counts(state), wanted)


def fewest_of(state: CurrentState, wanted: Variant) -> int:
    """The instances of the smallest variant that serves in the end."""
    return fewest(state.variant, _counts(state), wanted)


def minutes(names: Names, serving: Steps) -> tuple[int, int] | None:
    """How long the steps usually take, from and to; None where they bring up nothing."""
    if not any(step.operation for step in serving):
        return None
    made = any(s.name == names.candidate and s.action is Action.CREATE for s in serving)
    least, most = (10, 25) if made else (5, 15)
    waits = math.ceil(sum(_waits(step) for step in serving) / 60)
    return least + waits, most + waits


def _waits(step: Step) -> int:
    """Seconds that an update waits, all in all."""
    if step.operation != "promote":
        return 0
    return blue_green.waits(step.parameters["update"].get("DeploymentConfig", {}))


def notes(state: CurrentState, wanted: Variant) -> tuple[str, ...]:
    """What is said of a number of instances that is not the configured one."""
    there, will = configured(wanted), will_run(state, wanted)
    final = moves.notes(state.variant, wanted)
    if there.count == will.count:
        return final
    said = f"sagemaker.serving.instance_count says {there.count}, and has not changed"
    stays = f"The number of instances stays {will.count}: {said} since the last deployment."
    return stays, *final
