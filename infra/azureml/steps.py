"""Steps that several plans have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.plan import Action, Step

Facts = Mapping[str, Any]


def change_tags(state: CurrentState, tags: Facts) -> Step:
    """Set tags of the endpoint; an empty one goes."""
    name = state.names.endpoint
    return Step(Action.UPDATE, "tags of endpoint", name, "update_endpoint", {"tags": tags})


def shift_traffic(
    state: CurrentState, traffic: Mapping[str, int], tags: Facts, *seen: Mapping[str, int]
) -> Step:
    """Give the endpoint this traffic and these tags in one request, if its traffic is one that was
    `seen`."""
    name = state.names.endpoint
    facts = {"traffic": dict(traffic), "tags": tags, "seen": list(map(dict, seen))}
    return Step(Action.UPDATE, "traffic of endpoint", name, "update_endpoint", facts)


def smoke(name: str, golden: Facts) -> Step:
    """Ask one deployment, whatever its traffic."""
    facts = {"deployment": name, **golden}
    return Step(Action.CHECK, "golden request to deployment", name, "smoke", facts)


def smoke_endpoint(state: CurrentState, deployment: str, golden: Facts) -> Step:
    """Ask the endpoint, where `deployment` must answer."""
    name, facts = state.names.endpoint, {"expected": deployment, **golden}
    return Step(Action.CHECK, "golden request to endpoint", name, "smoke", facts, proves=True)


def delete_deployment(name: str) -> Step:
    """Delete a deployment."""
    return Step(Action.DELETE, "deployment", name, "delete_deployment")
