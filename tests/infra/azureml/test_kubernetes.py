"""An endpoint on an attached Kubernetes cluster: made, updated, rolled back and deleted as a
managed one is, and refused where it cannot be what is asked."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, NotFound, Refused
from onnxferry.infra.prices.estimators import estimator
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers import computes
from tests.fakes.azure.providers.autoscale import SETTINGS
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import config, connected, deploy
from tests.infra.azureml.world import slim

SERVING = {"mode": "kubernetes", "compute": "cluster"}


@pytest.fixture(scope="module")
def versions(versions: dict[str, Bundle]) -> dict[str, Bundle]:
    """With one file of code."""
    return {name: slim(bundle) for name, bundle in versions.items()}


@pytest.fixture
def workspace(ml: MachineLearning, azure: AzureFake) -> str:
    """A workspace to which a cluster is attached; its id."""
    id_ = ml.workspace()
    computes.attach_cluster(azure, id_)
    return id_


def on_cluster(serving: dict[str, Any] | None = None, **changes: Any) -> OnlineEndpoint:
    return connected(serving={**SERVING, **(serving or {})}, **changes)


def test_its_whole_life(azure: AzureFake, workspace: str, versions: dict[str, Bundle]) -> None:
    pods = {"instance_type": "big", "instance_count": 2, "cpu": 1.5, "memory_mb": 2048}
    cloud = on_cluster(pods, scaling={"max": 5, "cpu_percent": 60, "scale_out_seconds": 90})
    plan = deploy(cloud, versions["a"])
    assert plan.summary.costs == {"deployment": "runs on your cluster's nodes"}
    assert not plan.summary.shortage and not plan.summary.peak
    assert "Quota and cost are those of the cluster cluster; not looked at." in plan.summary.notes
    settings = config(serving=SERVING).azureml
    cost = estimator("azureml", settings)(plan, versions["a"].package).summary.cost
    assert cost and "the cluster is yours" in cost.unknown
    (endpoint,), (made,) = azure.store.all(ENDPOINTS), azure.store.all(DEPLOYMENTS)
    assert endpoint["properties"]["compute"] == f"{workspace}/computes/cluster"
    facts = made["properties"]
    given = {"cpu": "1.5", "memory": "2048Mi"}
    assert (facts["endpointComputeType"], facts["instanceType"]) == ("Kubernetes", "big")
    resources = facts["containerResourceRequirements"]
    assert [resources[f"containerResource{key}"] for key in ("Requests", "Limits")] == [given] * 2
    assert facts["scaleSettings"] == {
        "scaleType": "TargetUtilization",
        "minInstances": 1,
        "maxInstances": 5,
        "targetUtilizationPercentage": 60,
        "pollingInterval": "PT1M30S",
    }
    assert not list(azure.store.all(SETTINGS))
    assert not cloud.plan_deploy(versions["a"]).changes
    facts["scaleSettings"]["maxInstances"] = 9
    assert [str(s)[:18] for s in cloud.plan_deploy(versions["a"]).changes] == ["update deployment "]

    endpoint["properties"]["scoringUri"] = f"http://{cloud.status().url.partition('//')[2]}"
    assert any("is not encrypted" in note for note in deploy(cloud, versions["b"]).summary.notes)
    url = cloud.status().url
    assert url.endswith("/api/v1/endpoint/squad/score")
    asked = json.dumps({"inputs": tiny.QUESTION}).encode()
    assert cloud.invoke(Request(asked), 60).status == 200
    assert cloud.logs(10)
    assert "2 x big, serves" in str(cloud.status().resources)
    apply(cloud.plan_rollback(), cloud)
    assert cloud.status().version == versions["a"].version
    apply(cloud.plan_delete(), cloud)
    assert not list(azure.store.all(ENDPOINTS))


@pytest.mark.parametrize(
    ("serving", "error"),
    [
        ({"compute": "other"}, NotFound("nothing of that name is attached")),
        ({"compute": "cpus"}, Refused("of the type amlcompute, not kubernetes")),
        ({"compute": "broken"}, Refused("its state is Failed")),
        ({"instance_type": "gpu"}, Refused("no instance type gpu, but big, defaultinstancetype")),
    ],
)
def test_the_cluster_is_looked_at_before_anything_is_made(
    azure: AzureFake,
    workspace: str,
    versions: dict[str, Bundle],
    serving: dict[str, Any],
    error: CloudError,
) -> None:
    computes.attach_cluster(azure, workspace, "broken", state="Failed")
    cpus: dict[str, Any] = {"computeType": "AmlCompute", "provisioningState": "Succeeded"}
    cpus["properties"] = {"vmSize": "Standard_F2s_v2"}
    azure.store.put(f"{workspace}/computes/cpus", {"location": "westeurope", "properties": cpus})
    with pytest.raises(type(error), match=str(error)):
        on_cluster(serving).plan_deploy(versions["a"])


def test_an_endpoint_stays_where_it_was_made(
    azure: AzureFake, workspace: str, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    moved = "runs on instances of Azure's, and cannot be moved to run on the cluster cluster"
    with pytest.raises(Refused, match=moved):
        on_cluster().plan_deploy(versions["a"])
    apply(connected().plan_delete(), connected())
    deploy(on_cluster(), versions["a"])
    with pytest.raises(Refused, match="cannot be moved to run on instances of Azure's"):
        connected().plan_deploy(versions["a"])
    computes.attach_cluster(azure, workspace, "second")
    with pytest.raises(Refused, match="and cannot be moved to run on the cluster second"):
        on_cluster({"compute": "second"}).plan_deploy(versions["a"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rollout": {"mirror": 10}, "capture": {}}, "no mirrored traffic"),
        ({"network": {"egress": False}}, "no network of Azure's"),
        ({"auth_mode": "aad_token"}, "it has key and aml_token"),
        ({"rollout": {"traffic": "canary"}}, "set rollout.checks = false"),
        ({"scaling": {"max": 2, "target": 60}}, "leave scaling.target and scaling.schedule out"),
        ({"scaling": {"max": 2, "scale_in_seconds": 60}}, "pods go by the router's own rule"),
        ({"serving": {**SERVING, "cpu": 1}}, "both cpu and memory_mb, or neither"),
    ],
)
def test_what_a_cluster_does_not_have_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        config(**{"serving": SERVING, **changes})
