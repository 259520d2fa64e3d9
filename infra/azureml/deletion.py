"""The steps that delete all that deploying made for an endpoint, or what of it is not proved; and
nothing else."""

from __future__ import annotations

from onnxferry.infra.azureml import mirror
from onnxferry.infra.azureml.assets import Assets, needed_by
from onnxferry.infra.azureml.names import COMING, PREVIOUS, ROLLING
from onnxferry.infra.azureml.plan import check, prune, rollback
from onnxferry.infra.azureml.scaling import plan as scaling
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.azureml.steps import change_tags, delete_deployment, shift_traffic
from onnxferry.infra.plan import Action, Step


def delete(state: CurrentState, assets: Assets) -> tuple[Step, ...]:
    """The steps that delete the endpoint if it is ours alone, else our deployments in it; then what
    is registered; and last the files, by which a later run finds what may be registered."""
    steps = scaling.swept(state, _endpoint(state) if state.is_ours else _deployments(state))
    steps += _assets(state, steps, assets)
    if not steps:
        return ()
    names, files = state.names, steps[-1].parameters.get("files", [])
    kept = steps[:-1] if files else steps
    last = {"files": [*files, names.lease]}
    return (*kept, Step(Action.DELETE, "files", names.folder, "delete_files", last))


def delete_unproved(state: CurrentState, assets: Assets) -> tuple[Step, ...]:
    """The steps that delete the deployments that have not served, a shadow too; the endpoint, where
    none has; and what is registered and stored for them. One that an unfinished roll-out brings
    loses its traffic first."""
    if state.is_ours and not state.has_served:
        steps = [_whole_endpoint(state)]
    else:
        back = rollback(state) if state.coming in state.unproved or state.rolling else ()
        going = {step.name for step in back if step.operation == "delete_deployment"}
        unproved = [n for n in (*state.unproved, *mirror.unproved(state)) if n not in going]
        steps = [*back, *mirror.cleared(state), *map(delete_deployment, unproved)]
    steps = scaling.swept(state, steps)
    return (*steps, *_assets(state, steps, assets))


def stays(state: CurrentState) -> tuple[str, ...]:
    """What deleting leaves, in words, as it is somebody else's."""
    if state.endpoint is None or (state.is_ours and not state.others):
        return ()
    taking = set(state.ours) & {*state.traffic, *state.mirrored}
    serving = sorted(taking) if not state.is_ours else []
    what = [f"the endpoint {state.names.endpoint}", *(f"deployment {n}" for n in state.others)]
    what += [f"deployment {name}, which takes its traffic" for name in serving]
    return (f"What onnxferry did not make stays: {', '.join(what)}.",)


def _endpoint(state: CurrentState) -> list[Step]:
    """Of an endpoint that is ours."""
    if not state.others:
        return [_whole_endpoint(state)]
    steps, tags = mirror.cleared(state), dict.fromkeys((PREVIOUS, ROLLING, COMING), "")
    if state.ours and state.traffic:
        check(state)
        steps.append(shift_traffic(state, {}, tags, state.traffic))
    elif set(tags) & set(state.tags):
        steps.append(change_tags(state, tags))
    return [*steps, *map(delete_deployment, state.ours)]


def _deployments(state: CurrentState) -> list[Step]:
    """Those that are ours, and take no traffic, in an endpoint of somebody else's."""
    busy = {*state.traffic, *state.mirrored}
    return [delete_deployment(name) for name in state.ours if name not in busy]


def _assets(state: CurrentState, steps: list[Step], assets: Assets) -> list[Step]:
    """What is registered and stored, but for what the deployments need that `steps` leave."""
    gone = {step.name for step in steps if step.action is Action.DELETE}
    whole = any(step.operation == "delete_endpoint" for step in steps)
    left = [one for one in state.deployments if not whole and one.name not in gone]
    unused = assets.unused(needed_by(state.names, (*left, *state.batch)))
    return prune(state, unused, optional=False)


def _whole_endpoint(state: CurrentState) -> Step:
    facts = {"deployments": sorted(state.ours)}
    return Step(Action.DELETE, "endpoint", state.names.endpoint, "delete_endpoint", facts)
