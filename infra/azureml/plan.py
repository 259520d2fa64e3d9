"""The steps of a deployment and of a roll-back, made of the current and the desired state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from onnxferry.infra.azureml import access, mirror
from onnxferry.infra.azureml.assets import Assets, needed_by
from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.differences import check_fixed, differs
from onnxferry.infra.azureml.names import (
    COMING,
    COUNT,
    DEPLOYED,
    KINDS,
    MADE,
    PREVIOUS,
    ROLLING,
    VERSION,
)
from onnxferry.infra.azureml.registration import check_assets, register
from onnxferry.infra.azureml.rollout import promote, refuse_another, settled, taking_over
from onnxferry.infra.azureml.scaling import plan as scaling
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.azureml.steps import (
    Facts,
    change_tags,
    delete_deployment,
    smoke,
    smoke_endpoint,
)
from onnxferry.infra.clients.azureml_endpoints import FAILED
from onnxferry.infra.costs import HOURLY
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.plan import Action, Step
from onnxferry.system.exits import program


def check(state: CurrentState, wanted: Facts | None = None) -> None:
    """Raise Refused where the endpoint or its traffic is not ours to change, or the endpoint cannot
    become what is `wanted`, in the words of endpoint.yml."""
    where = state.names.where
    if state.endpoint and not state.is_ours:
        raise Refused(
            f"{where}: it is there, and onnxferry did not make it (no tag"
            f" {MADE}={state.names.made}). Choose another name: --name, or name in [model] of"
            " deploy.toml; or give it that tag, which hands it over"
        )
    strangers = sorted(set(state.traffic) - set(state.ours))
    if strangers:
        share = sum(state.traffic[name] for name in strangers)
        raise Refused(
            f"{where}: deployment {', '.join(strangers)} takes {share} % of its traffic, and"
            f" onnxferry did not make it (no tag {MADE}). Take its traffic away, or choose another"
            " endpoint: --name, or name in [model] of deploy.toml"
        )
    if wanted:
        access.check(state, wanted)


def deploy(state: CurrentState, desired: DesiredState, assets: Assets) -> tuple[Step, ...]:
    """The steps that end with `desired` live. Instances are freed before the candidate needs its
    own, and what serves goes last."""
    check(state, desired.endpoint)
    refuse_another(state, desired)
    check_assets(state.names, desired, assets)
    name, golden, kept = desired.deployment, {"spec": desired.spec}, kept_previous(state, desired)
    steps = [*register(state, desired, assets), *_endpoint(state, desired)]
    first, beside = outdated(state, desired), mirror.is_wanted(state, desired)
    stays = {kept, *(state.traffic if beside else ())}
    steps += [
        *(mirror.cleared(state) if state.shadow != name else ()),
        *map(delete_deployment, first),
        *_tags(state, desired, stays),
        *access.opened(state, desired),
        *_candidate(state, desired),
    ]
    steps += scaling.attached(state, desired)
    if beside:
        steps += [smoke(name, golden), *mirror.mirrored(state, desired)]
    else:
        steps += _live(state, desired, kept)
    last = [one for one in _deletable(state, {name, *stays}) if one not in first]
    left = [one for one in state.deployments if one.name not in (*first, *last)]
    needed = {*needed_by(state.names, (*left, *state.batch)), *desired.versions.items()}
    steps += [] if beside else scaling.rested(state, desired, kept)
    steps += map(delete_deployment, last)
    return tuple(scaling.swept(state, [*steps, *prune(state, assets.unused(needed))], [name]))


def _live(state: CurrentState, desired: DesiredState, kept: str) -> Iterator[Step]:
    """The candidate takes over, unless it serves already; the endpoint's tags say so."""
    name, golden = desired.deployment, {"spec": desired.spec}
    serves = dict(state.traffic) == {name: 100} and not state.coming
    taking = [] if serves else [*mirror.released(state, name), *taking_over(state, desired, kept)]
    yield from [] if serves else [smoke(name, golden)]
    yield from taking
    yield smoke_endpoint(state, name, golden)
    leaving = {k: state.tags[k] for k in (PREVIOUS, ROLLING, COMING) if k in state.tags}
    if not serves:
        yield from settled(state, kept, taking)
    elif leaving and ({ROLLING, COMING} & set(leaving) or not desired.keep_previous):
        yield change_tags(state, {**dict.fromkeys(leaving, ""), PREVIOUS: kept})


def rollback(state: CurrentState) -> tuple[Step, ...]:
    """The steps that take a shadow away, or move the traffic back, or those that a cut-off
    roll-back has left. Raises NotFound when no deployment served before."""
    check(state)
    if state.shadow and not (state.rolling or state.coming):
        kept = {state.shadow} - {*mirror.unproved(state)}
        away, *others = mirror.taken_away(state)
        return (away, *scaling.relieved(state, kept), *others)
    target, where = to_go_back_to(state), state.names.where
    if not target or (target == state.serving and not (state.rolling or state.coming)):
        raise NotFound(f"{where}: no previous version is kept")
    model = state.ours[target].assets["model"]
    golden = {"model": model.rpartition("/")[2]}  # its spec is kept there
    leaves = scaling.relieved(state, {*state.ours} - {target, *mirror.left(state)})
    ends = (smoke_endpoint(state, target, golden), *leaves, change_tags(state, mirror.ENDED))
    if state.rolling:
        return (*map(delete_deployment, mirror.left(state)), *ends)
    found = state.ours[target].state
    if found in FAILED or found == "Deleting":
        said = f"the previous version, {target}, is {found}; deploy its model directory again"
        raise NotFound(f"{where}: {said}")
    waits = [] if found == "Succeeded" else [_wait("deployment", target, found)]
    tags = {VERSION: state.version(target), PREVIOUS: state.serving, ROLLING: target}
    if state.coming:  # what has not proved itself is not kept to go back to
        tags |= {PREVIOUS: state.previous if state.previous != target else "", COMING: ""}
    first = (*scaling.followed(state, target), *mirror.released(state, target))
    return (*waits, smoke(target, golden), *first, promote(state, target, tags), *ends)


def to_go_back_to(state: CurrentState) -> str:
    """The deployment that takes all traffic after a roll-back: what serves, where that only takes a
    shadow away; "" for none."""
    back = state.serving if state.shadow else state.previous
    return state.rolling or state.before or back


def prune(state: CurrentState, unused: Assets, *, optional: bool = True) -> list[Step]:
    """Delete what nobody needs; where that is `optional`, a failure is told and ends nothing."""
    how, names, steps = {"optional": True} if optional else {}, state.names, list[Step]()
    for kind, version in sorted(unused.versions, key=lambda one: (KINDS.index(one[0]), one)):
        facts: Facts = {"version": version, **how}
        steps.append(Step(Action.DELETE, kind, names.asset(version), "delete_asset", facts))
    if files := unused.file_names:
        facts = {"files": files, **how}
        which = f"{names.folder} ({len(files)} unused)" if optional else names.folder
        steps.append(Step(Action.DELETE, "files", which, "delete_files", facts))
    return steps


def kept_previous(state: CurrentState, desired: DesiredState) -> str:
    """The deployment that is kept, to go back to; "" for none. What serves beside a shadow goes on
    serving, and what served before it stays."""
    served = [state.serving, state.previous][mirror.is_wanted(state, desired) :]
    before = (d for d in served if d not in ("", desired.deployment))
    return next(before, "") if desired.keep_previous else ""


def outdated(state: CurrentState, desired: DesiredState) -> list[str]:
    """Our deployments that go first: all but what gets traffic, the candidate, and what is kept to
    go back to."""
    keep = {desired.deployment, kept_previous(state, desired), state.before, *state.traffic}
    return _deletable(state, keep)


def instances(state: CurrentState, desired: DesiredState) -> int:
    """How many instances the candidate gets: as many as serve now, within the limits of
    autoscaling; without that, where something has scaled those since they were asked for, and
    deploy.toml asks for the same as then."""
    asked = int(desired.settings["instance_count"])
    found = state.ours.get(desired.deployment) or state.ours.get(state.serving)
    if desired.scaling:
        running = found.instances if found and found.instances else asked
        return min(max(running, desired.scaling.table.min), desired.scaling.most)
    same = found is not None and found.tags.get(COUNT) == str(asked)
    return found.instances if found and same and found.instances else asked


def notes(state: CurrentState, desired: DesiredState) -> tuple[str, ...]:
    """What else to know of a new candidate."""
    asked, count = desired.settings["instance_count"], instances(state, desired)
    if count == asked or desired.deployment in state.ours:
        return ()
    said = f"{state.serving} runs {count} instances, scaled from {asked}, and so will the new one."
    if state.scaling.of(state.serving) is None or desired.scaling:
        return (said,)
    others = "An autoscale setting of Azure Monitor is one deployment's: give it its own."
    return (f"{said} {others}",)


def left_notes(state: CurrentState) -> tuple[str, ...]:
    """What a roll-back of an unfinished roll-out leaves."""
    if state.coming not in state.unproved:
        return ()
    advice = f"To remove it: {program('delete')} --unproved"
    return (f"Deployment {state.coming} stays ({HOURLY}), without traffic. {advice}.",)


def _endpoint(state: CurrentState, desired: DesiredState) -> list[Step]:
    name, found = state.names.endpoint, state.endpoint
    tags = {**desired.tags, MADE: state.names.made, DEPLOYED: desired.deployed}
    delete = _delete_endpoint(name, [desired.deployment])
    facts = {**desired.endpoint, "tags": tags}
    create = Step(Action.CREATE, "endpoint", name, "create_endpoint", facts)
    failed = [_delete_endpoint(name, []), create]
    if state.deployments:
        failed = [Step(Action.REUSE, "endpoint", name)]
    *steps, last = _made(create, found.state if found else None, failed)
    return [*steps, last if state.has_served else replace(last, removal=delete)]


def _tags(state: CurrentState, desired: DesiredState, stays: Iterable[str]) -> list[Step]:
    """Set what has changed of deploy.toml's tags, of the endpoint and of what stays of it."""
    steps = []
    if state.endpoint and (changed := _changed(desired.tags, state.tags)):
        steps.append(change_tags(state, changed))
    for one in (state.ours.get(name) for name in (desired.deployment, *sorted(stays))):
        if one and one.state not in FAILED and (changed := _changed(desired.tags, one.tags)):
            facts, name = {"tags": changed}, one.name
            steps.append(Step(Action.UPDATE, "tags of deployment", name, "tag_deployment", facts))
    return steps


def _changed(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if found.get(key) != value}


def _candidate(state: CurrentState, desired: DesiredState) -> list[Step]:
    name, found = desired.deployment, state.ours.get(desired.deployment)
    if name in state.others:
        said = f"deployment {name} has lost its tag {MADE}; delete it first"
        raise Refused(f"{state.names.where}: {said}")
    create = Step(Action.CREATE, "deployment", name, "create_deployment", _facts(state, desired))
    failed = [delete_deployment(name), create]
    if name in state.traffic:
        failed = [replace(create, action=Action.UPDATE)]
    steps = _made(create, found.state if found else None, failed)
    if found and found.state not in FAILED:
        check_fixed(state.names, found, desired.settings)
    if found and found.state == "Succeeded" and differs(found, desired.settings):
        steps = [replace(create, action=Action.UPDATE)]
    if name not in state.in_use:
        steps[-1] = replace(steps[-1], removal=delete_deployment(name))
    return steps


def _facts(state: CurrentState, desired: DesiredState) -> Facts:
    names, found = state.names, state.ours.get(desired.deployment)
    own = {MADE: names.made, VERSION: desired.version, DEPLOYED: desired.deployed}
    own[COUNT] = str(desired.settings["instance_count"])
    tags = {**(found.tags if found else {}), **desired.tags, **own}
    ids = {kind: names.id(kind, version) for kind, version in desired.versions.items()}
    return {**desired.settings, "instance_count": instances(state, desired), **ids, "tags": tags}


def _made(create: Step, found: str | None, failed: list[Step]) -> list[Step]:
    """What makes a resource whose state is `found`, None where it is not there."""
    wait = _wait(create.resource, create.name, found or "")
    if found in FAILED:
        return failed
    by_state: dict[str | None, list[Step]] = {
        None: [create],
        "Succeeded": [Step(Action.REUSE, create.resource, create.name)],
        "Deleting": [wait, create],
    }
    return by_state.get(found, [wait])


def _deletable(state: CurrentState, keep: Collection[str]) -> list[str]:
    """Our other deployments, unless they are being deleted, or somebody else has given them a copy
    of the traffic."""
    stays = {*keep, *state.mirrored} - ({state.shadow} - set(keep))
    return [d.name for d in state.ours.values() if d.name not in stays and d.state != "Deleting"]


def _delete_endpoint(name: str, deployments: list[str]) -> Step:
    facts = {"deployments": deployments}
    return Step(Action.DELETE, "endpoint", name, "delete_endpoint", facts)


def _wait(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})
