"""An MLflow model without code on a managed online endpoint, against the fake of Azure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import CloudError, NotHealthy, Refused, WrongAnswer
from onnxferry.infra.mlflow.endpoints.azureml import MlflowAzureML, connect
from onnxferry.infra.plan import Action
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.assets import WORKSPACES
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.mlflow_container import FAILED
from tests.infra.azureml.conftest import QUICK, azure, config, deploy, ml, quotas
from tests.infra.azureml.conftest import connected as native_cloud
from tests.infra.mlflow_endpoints.conftest import NAME

__all__ = ["azure", "ml", "quotas"]

MODELS = f"{WORKSPACES}/models/versions"
ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


def connected(**changes: Any) -> MlflowAzureML:
    return connect(config(**changes), NAME, QUICK)


@pytest.fixture
def cloud(ml: MachineLearning) -> MlflowAzureML:
    return connected()


def answer(cloud: OnlineEndpoint) -> Any:
    reply = cloud.invoke(ASK, 10)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)[0]["answer"]


def named(azure: AzureFake, kind: str) -> list[str]:
    return [found["name"] for found in azure.store.all(kind)]


def test_a_first_deployment_is_a_model_alone(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    planned = deploy(cloud, azure_bundles["a"])
    assert answer(cloud) == azure_bundles["a"].golden.answer["answer"]
    made = [step.resource for step in planned.steps if step.action is Action.CREATE]
    assert made == ["model files", "model", "endpoint", "deployment"]
    (served,) = ml.history
    assert set(served.traffic) <= served.proved
    sent = {type_: body["properties"] for _, type_, body in azure.arm.puts}
    assert sent[MODELS]["modelType"] == "mlflow_model"
    given = {key for key, value in sent[DEPLOYMENTS].items() if value is not None}
    assert not {"environmentId", "codeConfiguration"} & given
    files = azure.blobs.names("wsstore", "azureml-blobstore")
    assert {name.partition("/model/")[2] for name in files} >= {
        "MLmodel",
        "conda.yaml",
        "artifacts/model/model.onnx",
    }
    assert not cloud.plan_deploy(azure_bundles["a"]).changes


def test_an_update_keeps_what_served_and_a_roll_back_brings_it_again(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    for name in "abc":
        deploy(cloud, azure_bundles[name])
        assert answer(cloud) == azure_bundles[name].golden.answer["answer"]
    assert len(named(azure, DEPLOYMENTS)) == 2
    apply(cloud.plan_rollback(), cloud)
    assert answer(cloud) == azure_bundles["b"].golden.answer["answer"]
    status = cloud.status()
    assert (status.version, status.previous) == (
        azure_bundles["b"].version,
        azure_bundles["c"].version,
    )
    assert all(set(served.traffic) <= served.proved for served in ml.history)
    assert {kind for kind, _, _ in status.resources} == {"endpoint", "deployment", "model", "files"}


def test_deleting_leaves_nothing_but_the_services_own_environment(
    cloud: OnlineEndpoint, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    deploy(cloud, azure_bundles["a"])
    apply(cloud.plan_delete(), cloud)
    assert not [*azure.store.all(ENDPOINTS), *azure.store.all(MODELS)]
    assert azure.blobs.names("wsstore", "azureml-blobstore") == []
    assert len(named(azure, f"{WORKSPACES}/environments/versions")) == 1
    assert cloud.status().state == "absent"


def test_a_wrong_answer_leaves_what_served(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    deploy(cloud, azure_bundles["a"])
    before = named(azure, DEPLOYMENTS), named(azure, MODELS)
    (serving,) = ml._containers.values()
    wanted = cloud.plan_deploy(azure_bundles["b"])
    step = next(step for step in wanted.steps if step.operation == "create_deployment")
    ml._containers[step.parameters["model"]] = serving
    with pytest.raises(WrongAnswer, match="Removed what was not proved"):
        apply(wanted, cloud)
    assert before == (named(azure, DEPLOYMENTS), named(azure, MODELS))
    assert answer(cloud) == azure_bundles["a"].golden.answer["answer"]


def test_a_refused_row_is_the_servers_own_error_and_a_kept_one_is_an_answer(
    cloud: OnlineEndpoint, azure_bundles: dict[str, Bundle]
) -> None:
    deploy(cloud, azure_bundles["a"])
    table = {"columns": ["question", "context"], "index": [0, 1], "data": [["q", "c"], ["q", None]]}
    refused = cloud.invoke(Request(json.dumps({"input_data": table}).encode()), 10)
    assert (refused.status, json.loads(refused.body)) == (500, {"message": FAILED})
    kept = {"input_data": table, "params": {"errors": "column"}}
    first, second = json.loads(cloud.invoke(Request(json.dumps(kept).encode()), 10).body)
    assert (first["error"], second["answer"]) == (None, None)
    assert second["error"].startswith("missing_field: ")
    as_mlflow = {"dataframe_split": {key: table[key] for key in ("columns", "data")}, **kept}
    as_mlflow.pop("input_data")
    assert cloud.invoke(Request(json.dumps(as_mlflow).encode()), 10).status == 200
    assert cloud.invoke(Request(b"{}"), 10).status == 400


def test_a_package_that_is_not_for_azures_script_does_not_come_up(
    cloud: OnlineEndpoint, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    with pytest.raises(NotHealthy, match="does not bring azureml-inference-server-http"):
        deploy(cloud, bundles["a"])
    assert named(azure, ENDPOINTS) == []


@pytest.mark.parametrize("kind", ["custom_model", "mlflow_model"])
def test_code_and_environment_come_both_or_neither(
    cloud: MlflowAzureML, azure: AzureFake, azure_bundles: dict[str, Bundle], kind: str
) -> None:
    deploy(cloud, azure_bundles["a"])
    (made,), (model,) = (azure.store.all(DEPLOYMENTS), azure.store.all(MODELS))
    model["properties"]["modelType"] = kind
    keys = ["model", "instanceType", "endpointComputeType"]
    keys += ["environmentId"] if kind == "mlflow_model" else []
    facts = {key: made["properties"][key] for key in keys}
    sku = {"name": "Default", "capacity": 1}
    with pytest.raises(CloudError, match="needs an environment and a scoring script"):
        cloud.clients.resources.put(f"{made['id']}x", facts, location="westeurope", sku=sku)


def test_an_endpoint_of_target_azureml_is_not_taken(
    cloud: OnlineEndpoint, azure: AzureFake, azure_bundles: dict[str, Bundle]
) -> None:
    deploy(cloud, azure_bundles["a"])
    native = native_cloud()
    with pytest.raises(Refused, match="onnxferry did not make it"):
        native.plan_rollback()
    assert [step for step in native.plan_delete().steps if step.resource == "endpoint"] == []


def test_it_needs_a_workspace() -> None:
    with pytest.raises(UsageError, match=r"needs the table \[azureml\]"):
        connect(DeployConfig(), NAME)
