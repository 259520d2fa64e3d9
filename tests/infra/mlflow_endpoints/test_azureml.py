"""An MLflow model without code on a managed online endpoint, against the fake of Azure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.mlflow.endpoints.azureml import connect
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import (
    DEPLOYMENTS,
    ENDPOINTS,
    WORKSPACES,
    MachineLearning,
)
from tests.infra.azureml.conftest import QUICK, azure, config, deploy, ml, quotas
from tests.infra.mlflow_endpoints.conftest import NAME

__all__ = ["azure", "ml", "quotas"]

ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


def connected(**changes: Any) -> OnlineEndpoint:
    return connect(config(**changes), NAME, QUICK)


@pytest.fixture
def cloud(ml: MachineLearning) -> OnlineEndpoint:
    return connected()


def answer(cloud: OnlineEndpoint) -> Any:
    reply = cloud.invoke(ASK, 10)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)[0]["answer"]


def test_a_first_deployment_answers(
    cloud: OnlineEndpoint, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    deploy(cloud, azure_bundles["a"])
    assert answer(cloud) == azure_bundles["a"].golden.answer["answer"]
