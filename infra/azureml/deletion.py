"""The steps that delete all that deploying made for an endpoint, and nothing else."""

from __future__ import annotations

from onnxferry.infra.azureml.names import PREVIOUS, ROLLING
from onnxferry.infra.azureml.plan import change_tags, check, shift_traffic
from onnxferry.infra.azureml.state import Assets, CurrentState
from onnxferry.infra.plan import Action, Step


def delete(state: CurrentState, assets: Assets) -> tuple[Step, ...]:
    """The steps that delete the endpoint if it is ours alone, else our deployments in it; then what
    is registered; and last the files, by which a later run finds what may be registered."""
    names = state.names
    steps = _endpoint(state)
    for kind, version in assets.versions:
        facts = {"id": names.id(kind, version)}
        steps.append(Step(Action.DELETE, kind, names.asset(version), "delete_asset", facts))
    if assets.files:
        files = {"files": list(assets.files)}
        steps.append(Step(Action.DELETE, "files", names.folder, "delete_files", files))
    return tuple(steps)


def _endpoint(state: CurrentState) -> list[Step]:
    name, endpoint = state.names.endpoint, state.endpoint
    if endpoint is None:
        return []
    if state.is_ours(endpoint.tags) and not state.others:
        facts = {"deployments": sorted(state.ours)}
        return [Step(Action.DELETE, "endpoint", name, "delete_endpoint", facts)]
    steps, tags = [], {PREVIOUS: "", ROLLING: ""}
    if state.ours and state.traffic:
        check(state)
        steps.append(shift_traffic(state, {}, tags))
    elif set(tags) & set(endpoint.tags):
        steps.append(change_tags(state, tags))
    ours = (Step(Action.DELETE, "deployment", n, "delete_deployment") for n in state.ours)
    return [*steps, *ours]
