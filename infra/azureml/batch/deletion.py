"""The steps that delete what batches made for an endpoint's name, before and after what online
deploying made; and nothing else."""

from __future__ import annotations

from dataclasses import replace

from onnxferry.infra.azureml.batch import jobs
from onnxferry.infra.azureml.batch.resources import delete_cluster
from onnxferry.infra.azureml.batch.state import BatchState, is_our_cluster
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.plan import Action, Step


def first(state: BatchState) -> list[Step]:
    """Stop the jobs at work, and delete the batch endpoint, if it is ours alone, else our
    deployments in it."""
    if state.endpoint is None:
        return []
    name, others = state.names.batch, {d.name for d in state.online.batch} - set(state.ours)
    stops = [jobs.stopped(job.name) for job in state.busy]
    if state.is_ours and not others:
        facts = {"deployments": sorted(state.ours)}
        whole = Step(Action.DELETE, "batch endpoint", name, "delete_batch_endpoint", facts)
        return [*stops, whole]
    kind, operation = "batch deployment", "delete_batch_deployment"
    return [*stops, *(Step(Action.DELETE, kind, one, operation) for one in state.ours)]


def last(state: BatchState) -> list[Step]:
    """Our cluster, which other endpoints' jobs may need: then it stays."""
    ours = state.cluster is not None and is_our_cluster(state.cluster)
    return [delete_cluster(optional=True)] if ours and state.is_ours else []


def without(state: CurrentState, steps: list[Step]) -> CurrentState:
    """The state once those steps are done."""
    gone = {step.name for step in steps}
    whole = any(step.operation == "delete_batch_endpoint" for step in steps)
    left = [one for one in state.batch if not whole and one.name not in gone]
    return replace(state, batch=left)
