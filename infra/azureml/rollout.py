"""How a candidate takes the traffic over: all at once, or in steps with a look at its errors and
its latency after each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import DEPLOYED, PREVIOUS, ROLLING, VERSION
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.azureml.steps import Facts, shift_traffic
from onnxferry.infra.plan import Step


def taking_over(state: CurrentState, desired: DesiredState, kept: str) -> list[Step]:
    """The steps that end with the candidate taking all traffic, and the endpoint's tags saying so;
    `kept` is the deployment to go back to."""
    live = {VERSION: desired.version, DEPLOYED: desired.deployed}
    return [promote(state, desired.deployment, {**live, PREVIOUS: kept, ROLLING: ""})]


def promote(state: CurrentState, deployment: str, tags: Facts) -> Step:
    """All traffic to `deployment`; the way back is the traffic of now."""
    wanted, before = {deployment: 100}, {key: state.tags.get(key, "") for key in tags}
    before |= {PREVIOUS: state.previous, ROLLING: ""}
    back = shift_traffic(state, state.traffic, before, seen=wanted)
    step = shift_traffic(state, wanted, tags, seen=state.traffic)
    made: dict[str, Any] = {"restore": back} if state.traffic else {"removal": back}
    return replace(step, **made)
