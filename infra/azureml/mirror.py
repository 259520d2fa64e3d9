"""Mirrored traffic: the version that serves goes on serving, and a new one beside it gets a copy of
a part of the requests. What both answer is captured, and `compare` compares it."""

from __future__ import annotations

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.plan import Step


def is_wanted(state: CurrentState, desired: DesiredState) -> bool:
    """Whether what is desired comes as a mirror: something else serves that has proved itself."""
    return False


def mirrored(state: CurrentState, desired: DesiredState) -> list[Step]:
    """The steps that give the candidate, which has proved itself, a copy of the traffic."""
    return []
