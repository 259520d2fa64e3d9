"""What batches need of what others have, what they leave alone, and what deleting takes away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NotFound, QuotaExceeded, Refused
from onnxferry.infra.jobs import BatchRequest
from onnxferry.system.errors import UsageError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.batch import BATCH_DEPLOYMENTS, BATCH_ENDPOINTS
from tests.fakes.azure.providers.computes import COMPUTES
from tests.fakes.azure.providers.machinelearning import WORKSPACES, MachineLearning
from tests.fakes.azure.providers.quotas import MACHINE_LEARNING, Quotas
from tests.infra.azureml.batch.batches import ASKED, GOOD, STORE, begin, blobs, jobs_of, put, run
from tests.infra.azureml.conftest import NAME, connected, deploy

NONE = Sample()


def space(azure: AzureFake) -> str:
    (found,) = azure.store.all(WORKSPACES)
    return str(found["id"])


def cluster(azure: AzureFake, name: str, tags: dict[str, str], **own: Any) -> None:
    """A cluster of somebody's."""
    facts = {"vmSize": "Standard_F4s_v2", "vmPriority": "Dedicated", **own}
    facts.setdefault("scaleSettings", {"minNodeCount": 0, "maxNodeCount": 2})
    made = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": facts}
    azure.store.put(f"{space(azure)}/computes/{name}", {"tags": tags, "properties": made})


def test_delete_takes_all_away_and_an_online_endpoint_shares_its_assets(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    put(azure, {"a.jsonl": GOOD})
    run(bundles["a"])
    models = len(list(azure.store.all(f"{WORKSPACES}/models/versions")))
    online = connected()
    deploy(online, bundles["a"])
    deploy(online, bundles["b"])  # keeps the model of a, which jobs need
    assert models == 1
    assert len(list(azure.store.all(f"{WORKSPACES}/models/versions"))) == 2
    put(azure, {"b.jsonl": GOOD})
    begin(bundles["a"])
    theirs = azure.store.get(f"{space(azure)}/batchEndpoints/{NAME}-batch")
    assert theirs
    other = f"{space(azure)}/batchEndpoints/other"
    azure.store.put(other, {**theirs, "tags": {}})
    (mine,) = azure.store.all(BATCH_DEPLOYMENTS)
    azure.store.put(f"{other}/deployments/theirs", {**mine, "tags": {}})
    plan = online.plan_delete()
    apply(plan, online)
    assert [job["properties"]["status"] for job in ml.batch.jobs.values()][-1] == "Canceled"
    assert [one["name"] for one in azure.store.all(BATCH_ENDPOINTS)] == ["other"]
    assert [one["name"] for one in azure.store.all(COMPUTES)] == ["onnxferry-batch"]  # is needed
    azure.store.delete(other)
    run(bundles["a"], replace(ASKED, overwrite=True))
    apply(online.plan_delete(), online)
    for type_ in (BATCH_ENDPOINTS, BATCH_DEPLOYMENTS, COMPUTES, f"{WORKSPACES}/models/versions"):
        assert not list(azure.store.all(type_)), type_
    assert not [name for name in blobs(azure) if name.startswith("onnxferry/")]
    assert {"in/a.jsonl", "out/a.jsonl.out"} <= set(blobs(azure))
    assert not online.plan_delete().steps


def test_what_others_made_is_left_alone(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    put(azure, {"a.jsonl": GOOD})
    cluster(azure, "onnxferry-batch", {})
    with pytest.raises(Refused, match='set compute = "onnxferry-batch"'):
        jobs_of().plan_batch(bundles["a"], ASKED, NONE)
    named = jobs_of(batch={"compute": "onnxferry-batch"})
    assert isinstance(named.plan_batch(bundles["a"], ASKED, NONE).summary.instances, str)
    cluster(azure, "theirs", {})
    made = jobs_of(batch={"compute": "theirs"})
    for asked, said in (
        (replace(ASKED, instances=3), "it has 2 instance.s. at most, and 3 are asked for"),
        (replace(ASKED, instance_type="Standard_F2s_v2"), "VM size cannot be changed"),
    ):
        with pytest.raises(Refused, match=said):
            made.plan_batch(bundles["a"], asked, NONE)
    run(bundles["a"], made=made)
    assert [one["name"] for one in azure.store.all(COMPUTES)] == ["onnxferry-batch", "theirs"]
    apply(connected().plan_delete(), connected())
    assert len(list(azure.store.all(COMPUTES))) == 2
    put(azure, {"b.jsonl": GOOD})
    with pytest.raises(NotFound, match="it has no compute absent"):
        jobs_of(batch={"compute": "absent"}).plan_batch(bundles["a"], ASKED, NONE)


def test_a_name_that_others_have_and_a_cluster_that_grows(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    put(azure, {"a.jsonl": GOOD})
    elsewhere = ml.workspace("theirs", "other", "theirstore")
    id_ = f"{elsewhere}/onlineEndpoints/{NAME}-batch"
    azure.store.put(id_, {"location": "westeurope"})
    with pytest.raises(NameTaken, match="--name"):
        begin(bundles["a"])
    assert not list(azure.store.all(COMPUTES))  # what was begun is removed
    azure.store.delete(id_)
    run(bundles["a"])
    put(azure, {"b.jsonl": GOOD})
    made, plan = begin(bundles["a"], replace(ASKED, instances=3))
    (found,) = azure.store.all(COMPUTES)
    assert found["properties"]["properties"]["scaleSettings"]["maxNodeCount"] == 3
    job = ml.batch.jobs[plan.steps[-1].name]
    assert job["asked"]["compute"]["instanceCount"] == 3
    endpoint = next(azure.store.all(BATCH_ENDPOINTS))
    endpoint["tags"].pop("onnxferry")
    put(azure, {"c.jsonl": GOOD}, "other")
    asked = BatchRequest(f"{STORE}/other/", f"{STORE}/third/")
    with pytest.raises(Refused, match="onnxferry did not make it"):
        made.plan_batch(bundles["a"], asked, NONE)


@pytest.mark.parametrize("low", [False, True])
def test_cores_that_are_lacking_are_known_before(
    ml: MachineLearning, azure: AzureFake, quotas: Quotas, bundles: dict[str, Bundle], low: bool
) -> None:
    put(azure, {"a.jsonl": GOOD})
    family = "Total Cluster Low-priority vCPUs" if low else "standardFSv2Family"
    quotas.limits[MACHINE_LEARNING, family] = 5
    asked, made = replace(ASKED, instances=3), jobs_of(batch={"low_priority": low})
    with pytest.raises(QuotaExceeded, match="3 x Standard_F2s_v2 needs 6 cores"):
        begin(bundles["a"], asked, made)
    assert not made.plan_batch(bundles["a"], replace(ASKED, instances=2), NONE).summary.shortage


def test_places_are_folders_files_and_assets_of_the_workspaces_datastores(
    ml: MachineLearning, azure: AzureFake
) -> None:
    ml.datastore(space(azure), "mine", "mystore", "data")
    put(azure, {"a.jsonl": GOOD, "a.jsonl.jsonl": GOOD, "x.csv": "y"})
    other = azure.blobs.accounts["mystore"]["data"]
    other["p/q.parquet"] = blobs(azure)["in/a.jsonl"]
    facts = {"dataType": "uri_folder", "dataUri": "azureml://datastores/mine/paths/p"}
    azure.store.put(f"{space(azure)}/data/rows/versions/1", {"properties": facts})
    made, out = jobs_of(), f"{STORE}/out"
    url = f"https://mystore.blob.{azure.storage_suffix}"
    found = {
        source: [file.name for file in made.dataset(BatchRequest(source, out)).files]
        for source in (f"{STORE}/in/a.jsonl", f"{url}/data/p", "azureml:rows:1")
    }
    assert list(found.values()) == [["a.jsonl"], ["q.parquet"], ["q.parquet"]]
    dataset = made.dataset(BatchRequest(f"{url}/data/p/", out))
    assert dataset.format.name == "Parquet"
    assert made.start_of(dataset, dataset.files[0], 5) == GOOD[:5].encode()
    for source, to, said in (
        (f"{STORE}/in/", out, "holds JSON Lines and CSV"),
        (f"{STORE}/in/", f"{STORE}/in/out/", "it lies in --input"),
        (f"{url}/elsewhere/p/", out, "no datastore of the workspace"),
        ("s3://bucket/in/", out, "expected azureml://datastores/NAME/paths/FOLDER/"),
        (f"{STORE}/none/", out, "no file that is known by its suffix"),
    ):
        with pytest.raises(UsageError, match=said):
            made.dataset(BatchRequest(source, to))
    with pytest.raises(NotFound, match="no such data asset"):
        made.dataset(BatchRequest("azureml:rows:2", out))
