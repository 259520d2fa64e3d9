"""The steps that make what a job needs: a cluster, the batch endpoint, and its deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml.batch.desired import CLUSTER, BatchDesired
from onnxferry.infra.azureml.batch.state import BatchState, is_our_cluster
from onnxferry.infra.azureml.names import DEPLOYED, MADE, VERSION, Names
from onnxferry.infra.clients.azureml_batch import Cluster
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.jobs import BatchRequest
from onnxferry.infra.plan import Action, Step

_FAILED = ("Failed", "Canceled")
_IDLE = 120  # seconds until an instance without work goes
_KIND, _ENDPOINT, _DEPLOYMENT = "cluster", "batch endpoint", "batch deployment"


def cluster(state: BatchState, desired: BatchDesired, asked: BatchRequest) -> Iterator[Step]:
    """Ours is made where it is absent, and may grow. Raises NotFound where the one that is
    configured is absent, and Refused where it cannot run this."""
    found, name = state.cluster, desired.compute
    if found is None and desired.given:
        raise NotFound(
            f"workspace {state.names.workspace}: it has no compute {name}, which azureml.batch"
            f" names; make it, or leave compute out: {CLUSTER} is made then"
        )
    create = Step(Action.CREATE, _KIND, name, "create_cluster", facts(desired, asked))
    if found is None:
        yield replace(create, removal=delete_cluster())
        return
    ours = is_our_cluster(found) and not desired.given
    if not (ours or desired.given):
        raise Refused(
            f"compute {name} of workspace {state.names.workspace}: it is there, and onnxferry did"
            f' not make it (no tag {MADE}={CLUSTER}). To use it, set compute = "{name}" in'
            " [azureml.batch]; or remove it"
        )
    _check_cluster(state.names, found, asked, grows=ours)
    if found.state not in ("Succeeded", *_FAILED):
        yield Step(Action.CHECK, _KIND, name, "wait_for_cluster", {"state": found.state})
    if ours and found.instances < asked.instances:
        yield replace(create, action=Action.UPDATE)
    else:
        yield Step(Action.REUSE, _KIND, name)


def facts(desired: BatchDesired, asked: BatchRequest) -> dict[str, Any]:
    """Of our cluster, in the words of its YAML."""
    tier = {"tier": "low_priority" if asked.low_priority else "dedicated"}
    size = {"min_instances": 0, "max_instances": asked.instances, "size": asked.instance_type}
    tags = {**desired.registered.tags, MADE: CLUSTER, DEPLOYED: desired.registered.deployed}
    return {"name": CLUSTER, "idle_time_before_scale_down": _IDLE, **size, **tier, "tags": tags}


def endpoint(state: BatchState, desired: BatchDesired) -> Iterator[Step]:
    """The batch endpoint. Raises Refused where it is not ours."""
    name, found = state.names.batch, state.endpoint
    if found and not state.is_ours:
        raise Refused(
            f"batch endpoint {name} of workspace {state.names.workspace}: it is there, and"
            f" onnxferry did not make it (no tag {MADE}={state.names.made}). Choose another name:"
            " --name, or name in [model] of deploy.toml"
        )
    tags = {**desired.registered.tags, **_marks(state, desired)}
    back = Step(Action.DELETE, _ENDPOINT, name, "delete_batch_endpoint", {"deployments": []})
    create = Step(Action.CREATE, _ENDPOINT, name, "create_batch_endpoint", {"tags": tags})
    yield from _made(create, found.state if found else None, back)


def deployment(state: BatchState, desired: BatchDesired) -> Iterator[Step]:
    """The deployment of this version and these settings."""
    name, names = desired.deployment, state.names
    found = next((one for one in state.online.batch if one.name == name), None)
    if found and name not in state.ours:
        raise Refused(
            f"batch deployment {name} of {names.batch}: it is there, and onnxferry did not make it"
            f" (no tag {MADE}={names.made}); remove it"
        )
    ids = {kind: names.id(kind, v) for kind, v in desired.registered.versions.items()}
    own = {"settings": desired.settings, "scoring_script": desired.script}
    own |= {"compute": desired.compute, **ids}
    own["tags"] = {**desired.registered.tags, **_marks(state, desired)}
    back = Step(Action.DELETE, _DEPLOYMENT, name, "delete_batch_deployment")
    create = Step(Action.CREATE, _DEPLOYMENT, name, "create_batch_deployment", own)
    yield from _made(create, found.state if found else None, back)


def delete_cluster(**more: Any) -> Step:
    """Delete our cluster, if no deployment is left that needs it."""
    return Step(Action.DELETE, _KIND, CLUSTER, "delete_cluster", more)


def _check_cluster(names: Names, found: Cluster, asked: BatchRequest, *, grows: bool) -> None:
    where = f"compute {found.name} of workspace {names.workspace}"
    if found.state in _FAILED:
        raise Refused(f"{where}: its state is {found.state}; delete it, and run again")
    if found.kind != "amlcompute":
        return
    if found.size and found.size.lower() != asked.instance_type.lower():
        raise Refused(
            f"{where}: it has {found.size}, and a cluster's VM size cannot be changed to"
            f" {asked.instance_type}. Leave --instance-type out, or delete the cluster, or name"
            " another in azureml.batch.compute"
        )
    if found.instances < asked.instances and not grows:
        raise Refused(
            f"{where}: it has {found.instances} instance(s) at most, and {asked.instances} are"
            " asked for; set fewer --instances, or let it grow"
        )


def _made(create: Step, found: str | None, back: Step) -> list[Step]:
    """What makes a thing whose state is `found`, None where it is not there."""
    made = replace(create, removal=back)
    wait = Step(Action.CHECK, create.resource, create.name, "wait_for_batch", {"state": found})
    by_state: Mapping[str | None, list[Step]] = {
        None: [made],
        "Succeeded": [Step(Action.REUSE, create.resource, create.name)],
        "Deleting": [wait, made],
        **{failed: [back, made] for failed in _FAILED},
    }
    return by_state.get(found, [wait])


def _marks(state: BatchState, desired: BatchDesired) -> dict[str, str]:
    return {MADE: state.names.made, VERSION: desired.version, DEPLOYED: desired.registered.deployed}
