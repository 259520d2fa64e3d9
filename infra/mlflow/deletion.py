"""The steps that delete all that deploying made for an endpoint, or what of it is not proved; and
nothing else. The experiment stays: MLflow would keep its name, so that none could be made again."""

from __future__ import annotations

from onnxferry.infra.mlflow.names import CHAMPION
from onnxferry.infra.mlflow.plan import delete_files, delete_model, delete_version
from onnxferry.infra.mlflow.state import CurrentState
from onnxferry.infra.plan import Action, Step


def delete(state: CurrentState) -> tuple[Step, ...]:
    """The steps that delete the registered model if it is ours alone, else our versions in it; then
    the files; and last the lease."""
    ours = list(state.ours.values())
    whole = state.is_ours and not state.others
    steps = [delete_model(state)] if whole else _versions(state)
    steps += delete_files(state, ours, optional=False)
    if not steps:
        return ()
    return (*steps, Step(Action.DELETE, "lease", state.names.model, "delete_lease"))


def delete_unproved(state: CurrentState) -> tuple[Step, ...]:
    """The steps that delete the versions that have not served; the registered model, where none
    has; and their files."""
    gone = state.unproved
    if state.is_ours and len(gone) == len(state.versions):
        steps = [delete_model(state)]
    else:
        steps = [delete_version(state, version) for version in gone]
    return (*steps, *delete_files(state, gone, optional=False))


def _versions(state: CurrentState) -> list[Step]:
    """Ours, and before them the alias that is on one."""
    steps = [delete_version(state, version) for version in state.ours.values()]
    if state.champion not in state.ours:
        return steps
    facts = {"number": "", "seen": {"number": state.champion}}
    alias = Step(Action.DELETE, "alias", state.names.alias(CHAMPION), "put_back", facts)
    return [alias, *steps]


def stays(state: CurrentState) -> tuple[str, ...]:
    """What deleting leaves, in words."""
    left = [f"experiment {state.names.experiment}"] if state.experiment else []
    if state.others:
        left += [state.names.where, *(f"version {number} of it" for number in state.others)]
    elif state.model and not state.is_ours:
        left.append(state.names.where)
    return (f"What is not this endpoint's own stays: {', '.join(left)}.",) if left else ()
