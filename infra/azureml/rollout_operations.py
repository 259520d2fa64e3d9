"""How the steps of a roll-out that goes in steps are executed: what watches a new version."""

from __future__ import annotations

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress


class RolloutOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names
    clock: Clock
    progress: Progress
