"""The steps that give a deployment its autoscale setting, and take it away."""

from __future__ import annotations

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.plan import Step


def attached(state: CurrentState, desired: DesiredState) -> list[Step]:
    """What gives the candidate its own, before it takes traffic."""
    return []
