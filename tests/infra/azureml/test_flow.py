"""Deploy, deploy again, update, roll back, delete, ask: azure-ai-ml against the fake, asserted on the fake's state."""

from __future__ import annotations

import json

import pytest

from infra.cloud import Bundle, Cloud
from infra.errors import NotFound
from infra.plan import Action, apply
from scoring.contract import Request
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, WORKSPACES, MachineLearning
from tests.infra.azureml.conftest import NAME, connected, deploy


def test_a_first_deployment_answers(cloud: Cloud, ml: MachineLearning, versions: dict[str, Bundle]) -> None:
    plan = deploy(cloud, versions["a"])
    for step in plan.steps: print(step)
    (served,) = ml.history
    (name,) = served.traffic
    assert served.traffic == {name: 100}
    assert name in served.proved
