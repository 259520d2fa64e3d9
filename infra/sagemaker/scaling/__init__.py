"""Autoscaling of an endpoint's production variants by Application Auto Scaling: the requests that
deploy.toml asks for, what is registered now, and the steps from the one to the other.

A scalable target of ours has our tag; its policies and scheduled actions, which have no tags, have
names of ours. What others registered at an endpoint is theirs, and goes with the endpoint alone.
"""

from __future__ import annotations

from onnxferry.infra.sagemaker.scaling.plan import change, deleted, deployed, rolled_back
from onnxferry.infra.sagemaker.scaling.requests import ScaledVariant, wanted
from onnxferry.infra.sagemaker.scaling.state import FoundScaling, listed, read, read_if_allowed

__all__ = [
    "FoundScaling",
    "ScaledVariant",
    "change",
    "deleted",
    "deployed",
    "listed",
    "read",
    "read_if_allowed",
    "rolled_back",
    "wanted",
]
