"""How an endpoint comes to a configuration, as steps. A candidate, a second endpoint of the same
configuration, must answer the golden request; it is deleted before the first endpoint is pointed to
that configuration, so that no more than two fleets of instances ever run.

What changes or deletes an endpoint carries what was `seen` there, and is refused where that is no
longer so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker.blue_green import at_once
from onnxferry.infra.sagemaker.fleet import Fleet, Variant, added, configured, retention, updated
from onnxferry.infra.sagemaker.names import DEPLOYED_TAG, HISTORY_TAG, VERSION_TAG, Names, tags
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, CurrentState, Endpoint
from onnxferry.system.exits import program

KEPT = 2  # versions: what serves, and what served before
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Goal:
    """The configuration that is to serve, its package (s3://...) and its production variant. A
    `candidate` is what proves itself first, where the goal has it as a shadow only, and is not
    recorded as what serves."""

    config: str
    url: str
    variant: Variant
    deployment: Mapping[str, Any] = field(default_factory=at_once)  # of the update to it
    candidate: Goal | None = None


def serving(state: CurrentState, goal: Goal) -> Steps:
    """From whatever the endpoint is to `goal` serving, proved."""
    main, names, config = state.main, state.names, goal.config
    if main is None or main.state == "Deleting":
        made, proof = _created(names, names.endpoint, config), _smoke(names.endpoint, goal.url)
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
        return _arriving(state, main, goal), _smoke(main.name, goal.url)
    return *_stable(main), *_pointed(state, main, goal)


def _on_its_way(main: Endpoint, config: str) -> bool:
    return main.coming == config and main.state not in {*BROKEN, "UpdateRollbackFailed"}


def _arriving(state: CurrentState, main: Endpoint, goal: Goal) -> Step:
    """Wait for what an interrupted run began. Where that fails, what proved itself before is put
    back, or there is nothing that did, and the endpoint is removed."""
    if main.state == "InService" and main.history[:1] == (goal.config,):
        return Step(Action.REUSE, "endpoint", main.name)
    awaited = _awaited(main.name, goal.config)
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
    return *made, _smoke(names.candidate, goal.url), gone


def _created(names: Names, name: str, config: str, history: tuple[str, ...] = ()) -> Step:
    """A new endpoint; removed, unless it proves itself."""
    request = {"EndpointName": name, "EndpointConfigName": config}
    tagged = {**request, "Tags": names.tags(names.version_of(config), history)}
    step = Step(Action.CREATE, "endpoint", name, "create_endpoint", tagged)
    return replace(step, removal=deleted_endpoint(name, config))


def _pointed(state: CurrentState, main: Endpoint, goal: Goal) -> Steps:
    """The endpoint moved to `goal` and smoked, else taken back."""
    proof = _smoke(main.name, goal.url)
    if main.state not in BROKEN:
        _refuse_unknown(state, main)
        back = _point(state, main.config, goal, seen=goal.config)
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
    if any("ServerlessConfig" in one for one in (state.variant, goal.variant) if one):
        rollout = {}  # nothing to choose
    pending = [main.pending] if main and main.pending else []
    parameters = {
        "update": {**what, **rollout, **_retained(state, goal)},
        "create": {**what, "Tags": names.tags(names.version_of(config))},
        "seen": [seen, *(one for one in pending if one != seen)],
    }
    return Step(Action.UPDATE, "endpoint", names.endpoint, "promote", parameters)


def _retained(state: CurrentState, goal: Goal) -> dict[str, Any]:
    """What an update keeps of what runs; not the part of the requests that a shadow got."""
    kept = retention(state.variant, goal.variant)
    if not (goal.candidate and kept):
        return kept
    others = kept.get("ExcludeRetainedVariantProperties", [])
    weight = {"VariantPropertyType": "DesiredWeight"}
    return {**kept, "ExcludeRetainedVariantProperties": [*others, weight]}


def _smoke(name: str, url: str) -> Step:
    kind, request = "golden request to endpoint", {"package": url}
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


def peak(state: CurrentState, goal: Goal, steps: Iterable[Step]) -> tuple[Fleet, ...]:
    """The most that runs at a time while `steps` bring the endpoint to `goal`, a fleet a type; none
    where they bring up none."""
    begun = [s.name for s in steps if s.operation in ("create_endpoint", "promote")]
    if not begun:
        return ()
    coming = all_run(state, goal)
    if state.names.candidate in begun and not goal.candidate:
        coming = (max(*coming, configured(goal.variant), key=lambda fleet: fleet.count),)
    return added((*_now(state), *coming))


def _now(state: CurrentState) -> tuple[Fleet, ...]:
    """What runs of the endpoint, its shadow too."""
    there = ((state.variant, _running(state)), (state.shadow, _shadows(state)))
    return tuple(Fleet(one["InstanceType"], count) for one, count in there if one)


def _shadows(state: CurrentState) -> int:
    return state.main.shadows if state.main and _running(state) else 0


def all_run(state: CurrentState, goal: Goal) -> tuple[Fleet, ...]:
    """What runs in the end, a fleet a type: what serves, and a shadow."""
    beside = (configured(goal.candidate.variant),) if goal.candidate else ()
    return added((will_run(state, goal.variant), *beside))


def _running(state: CurrentState) -> int:
    """Instances of the endpoint that serves; none of one that is to be deleted first."""
    main = state.main
    return main.count if main and main.state not in {*BROKEN, "Deleting"} else 0


def will_run(state: CurrentState, wanted: Variant) -> Fleet:
    """What serves in the end, with the production variant `wanted`."""
    return updated(state.variant, _running(state), wanted)


def minutes(names: Names, serving: Steps) -> tuple[int, int]:
    """How long the steps usually take, from and to."""
    made = any(s.name == names.candidate and s.action is Action.CREATE for s in serving)
    return (10, 25) if made else (5, 15)


def notes(state: CurrentState, wanted: Variant) -> tuple[str, ...]:
    """What is said of a number of instances that is not the configured one."""
    there, will = configured(wanted), will_run(state, wanted)
    if there.count == will.count:
        return ()
    said = f"sagemaker.serving.instance_count says {there.count}, and has not changed"
    return (f"The number of instances stays {will.count}: {said} since the last deployment.",)
