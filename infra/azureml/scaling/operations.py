"""How the steps of autoscaling are executed."""

from __future__ import annotations

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients


class ScalingOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names
