"""The data collector: what it is asked for, in the words of azure-ai-ml; who registers what for it;
and what stays of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from azure.ai.ml import load_online_deployment

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml import capture, declared
from onnxferry.infra.clients.azureml import sdk_deployment
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.target_tables import AzureML
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, WORKSPACES, MachineLearning
from tests.infra.azureml.conftest import config, connected, deploy
from tests.infra.azureml.test_flow import ASK
from tests.infra.quiet import QuietReport

DATA = f"{WORKSPACES}/data/versions"
TYPE = {"instance_type": "Standard_F2s_v2"}


def settings(**changes: Any) -> AzureML:
    found = config(**changes).azureml
    assert found
    return found


@pytest.mark.parametrize(
    ("given", "collections"), [({"redact": True}, ["response"]), ({}, ["request", "response"])]
)
def test_azure_ai_ml_reads_what_it_says(given: dict[str, Any], collections: list[str]) -> None:
    said = capture.collected(settings(capture={"percent": 25, **given}))
    facts = {"name": "v1", "endpoint_name": "squad", "model": "azureml:m:1", **TYPE}
    text = yaml.safe_dump({**facts, **said})
    found = load_online_deployment(io.StringIO(text)).data_collector
    assert (found.sampling_rate, found.rolling_rate) == (0.25, "hour")
    assert {name: one.enabled for name, one in found.collections.items()} == dict.fromkeys(
        collections, "true"
    )


def test_nothing_is_captured_by_default() -> None:
    said = declared.deployment(settings())
    assert "data_collector" not in said
    sent = sdk_deployment("squad", "v-1", {"model": "m:1", **said})._to_rest_object("westeurope")
    assert sent.properties.data_collector is None


def test_it_is_kept_where_its_data_assets_say_and_stays_when_the_endpoint_goes(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    cloud = connected(capture={"percent": 50})
    plan = deploy(cloud, versions["a"])
    where = "datastore workspaceblobstore, modelDataCollector/squad/"
    assert f"50 % of the requests and their answers are kept as they are in {where}" in plan_text(
        plan
    )
    (made,) = azure.store.all(DEPLOYMENTS)
    collector = made["properties"]["dataCollector"]
    assert collector["rollingRate"] == "Hour"
    assets = {one["id"]: one["properties"]["dataUri"] for one in azure.store.all(DATA)}
    start = "azureml://datastores/workspaceblobstore/paths/modelDataCollector/squad/"
    for name in ("request", "response"):
        one = collector["collections"][name]
        assert (one["dataCollectionMode"], one["samplingRate"]) == ("Enabled", 0.5)
        assert assets[one["dataId"]] == f"{start}{made['name']}/{name}"
        assert one["dataId"].endswith(f"/data/squad-{made['name']}-{name}/versions/1")
    assert not cloud.plan_deploy(versions["a"]).changes
    for _ in range(3):
        cloud.invoke(ASK, 60)
    ml.collector.deliver()
    kept = [name for name in azure.blobs.names("wsstore", "azureml-blobstore") if "model" in name]
    deletion = cloud.plan_delete()
    assert f"What was captured in {where} stays, and so do the data assets" in plan_text(deletion)
    apply(deletion, cloud, QuietReport())
    left = azure.blobs.names("wsstore", "azureml-blobstore")
    assert left == [name for name in kept if name.startswith("modelDataCollector/")]
    assert len(left) == 2
    assert len(list(azure.store.all(DATA))) == 2
    again = connected(capture={"percent": 50})
    deploy(again, versions["a"])  # what it registers is there already


def test_answers_alone_are_kept_of_a_deployment_that_is_another_one(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    cloud = connected(capture={"redact": True})
    assert "without the requests, are kept as they are" in plan_text(deploy(cloud, versions["a"]))
    cloud.invoke(ASK, 60)
    assert all("/response/" in name for name in ml.collector.waiting)
    text = str(list(ml.collector.waiting.values()))
    assert "middle name" not in text
    assert "kept as" not in plan_text(connected().plan_deploy(versions["a"]))
    (made,) = (d for d in azure.store.all(DEPLOYMENTS) if "dataCollector" in d["properties"])
    facts = {key: made[key] for key in ("location", "tags", "sku")}
    own = {key: v for key, v in made["properties"].items() if key != "provisioningState"}
    own["dataCollector"] = {"collections": {"request": {"dataCollectionMode": "Enabled"}}}
    with pytest.raises(CloudError, match="dataId of request is not registered"):
        cloud.clients.resources.put(made["id"], own, **facts)  # type: ignore[attr-defined]


def test_a_given_identity_is_told_what_it_needs() -> None:
    group = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ManagedIdentity"
    mine = f"{group}/userAssignedIdentities/mine"
    names = connected().names  # type: ignore[attr-defined]
    *_, said = capture.notes(names, settings(capture={}).model_copy(update={"identity": mine}))
    assert f"The identity {mine} needs the role Storage Blob Data Contributor" in said
    assert list(capture.notes(names, settings())) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sampling_rate": 0.5, "rolling_rate": "month"}, "rolling_rate|Month|month"),
        ({"sampling_rate": 1.5}, "0.0-1.0"),
    ],
)
def test_what_azure_ai_ml_does_not_take(given: dict[str, Any], says: str) -> None:
    said = {"data_collector": {"collections": {"request": {"enabled": "true"}}, **given}}
    with pytest.raises(Exception, match=says):
        sdk_deployment("squad", "v-1", {"model": "m:1", **TYPE, **said})
