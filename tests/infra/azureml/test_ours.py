"""What is not onnxferry's is neither changed nor deleted; what is, is pruned once nobody needs it.
Asserted on the fake's state."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import PREVIOUS
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, NameTaken, Refused
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.assets import WORKSPACES
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import NAME, connected, deploy
from tests.infra.azureml.test_flow import endpoint, names

ASSETS = [f"{WORKSPACES}/{kind}/versions" for kind in ("models", "codes", "environments")]


def files(azure: AzureFake) -> list[str]:
    return azure.blobs.names("wsstore", "azureml-blobstore")


def test_what_no_deployment_refers_to_is_pruned(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    counts = []
    for name in "abcab":
        plan = deploy(cloud, versions[name])
        counts.append((len(files(azure)), *(len(names(azure, type_)) for type_ in ASSETS)))
    assert counts[1] == counts[2] == counts[3] == counts[4]
    assert "Deletes" in plan_text(plan)
    assert "model squad:" in plan_text(plan).partition("Deletes")[2]
    apply(cloud.plan_rollback(), cloud)
    assert cloud.status().version == versions["a"].version


def test_azure_takes_a_name_for_the_whole_region(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    theirs = ml.workspace("theirs", "other", "theirstore")
    azure.store.put(f"{theirs}/onlineEndpoints/{NAME}", {"location": "westeurope"})
    with pytest.raises(NameTaken, match="another workspace of the region has this name") as caught:
        deploy(connected(), versions["a"])
    assert "--name" in str(caught.value)
    assert files(azure) == []


def test_a_name_that_is_refused_at_once_is_taken(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    said = "There is already an endpoint with this name, Endpoint name needs to be unique within"
    azure.arm.refusals[ENDPOINTS.lower()] = (400, "BadRequest", f"{said} a region.")
    with pytest.raises(NameTaken):
        deploy(cloud, versions["a"])


def test_an_endpoint_without_the_mark_is_left_alone(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    endpoint(azure)["tags"].pop("onnxferry")
    with pytest.raises(Refused, match="onnxferry did not make it"):
        cloud.plan_deploy(versions["c"])
    with pytest.raises(Refused, match="onnxferry did not make it"):
        cloud.plan_rollback()
    before = dict(endpoint(azure)["properties"]["traffic"])
    plan = cloud.plan_delete()
    apply(plan, cloud)
    (left,) = names(azure, DEPLOYMENTS)
    assert endpoint(azure)["properties"]["traffic"] == before == {left: 100}
    assert f"deployment {left}, which takes its traffic" in plan.summary.notes[0]
    assert [len(names(azure, type_)) for type_ in ASSETS] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["models", "environments", "codes"])
def test_an_asset_without_the_mark_is_not_taken_for_ours(
    cloud: OnlineEndpoint,
    ml: MachineLearning,
    azure: AzureFake,
    versions: dict[str, Bundle],
    kind: str,
) -> None:
    deploy(cloud, versions["a"])
    (found,) = azure.store.all(f"{WORKSPACES}/{kind}/versions")
    found["properties"] |= {"tags": {}, "codeUri": "https://elsewhere/code"}
    with pytest.raises(Refused, match=f"{kind[:-1]} {NAME}:{found['name']} is there"):
        cloud.plan_deploy(versions["a"])
    apply(cloud.plan_delete(), cloud)
    assert names(azure, f"{WORKSPACES}/{kind}/versions") == [found["name"]]


def test_a_file_without_the_mark_is_not_overwritten(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    plan = cloud.plan_deploy(versions["a"])
    deploy(cloud, versions["a"])
    blobs = azure.blobs.accounts["wsstore"]["azureml-blobstore"]
    name = next(name for name in files(azure) if name.endswith("model.onnx"))
    blobs[name].metadata.clear()
    for run in (lambda: cloud.plan_deploy(versions["a"]), lambda: apply(plan, cloud)):
        with pytest.raises(Refused, match="onnxferry did not make it"):
            run()
    apply(cloud.plan_delete(), cloud)
    assert files(azure) == [name]


@pytest.mark.parametrize("kinds", [{"environments", "codes"}, {"models"}])
def test_what_azure_does_not_delete_is_archived(
    cloud: OnlineEndpoint,
    ml: MachineLearning,
    azure: AzureFake,
    versions: dict[str, Bundle],
    kinds: set[str],
) -> None:
    ml.undeletable.update(kinds)
    deploy(cloud, versions["a"])
    apply(cloud.plan_delete(), cloud)
    for kind in kinds:
        (left,) = azure.store.all(f"{WORKSPACES}/{kind}/versions")
        assert left["properties"]["isArchived"]
    assert not cloud.plan_delete().steps
    deploy(cloud, versions["a"])  # and comes back when it is needed again
    assert all(
        not one["properties"].get("isArchived")
        for type_ in ASSETS
        for one in azure.store.all(type_)
    )


def test_pruning_that_is_refused_does_not_fail_a_deployment(
    cloud: OnlineEndpoint,
    azure: AzureFake,
    versions: dict[str, Bundle],
    capsys: pytest.CaptureFixture[str],
) -> None:
    azure.arm.denied |= {f"DELETE {type_}" for type_ in ASSETS}
    for name in "abc":
        deploy(cloud, versions[name])
    assert cloud.status().version == versions["c"].version
    assert "delete model squad:" in capsys.readouterr().err


def test_what_takes_traffic_now_is_not_deleted(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    plan = cloud.plan_deploy(versions["c"])
    found = endpoint(azure)
    earlier = found["tags"][PREVIOUS]
    found["properties"]["traffic"] = {earlier: 100}  # somebody else rolls back meanwhile
    with pytest.raises(Refused, match="takes 100 % of the traffic now"):
        apply(plan, cloud)
    assert endpoint(azure)["properties"]["traffic"] == {earlier: 100}


def test_traffic_that_somebody_moved_since_the_plan_is_not_moved(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    for plan in (cloud.plan_rollback(), connected(keep_previous=False).plan_rollback()):
        found = endpoint(azure)
        first, second = names(azure, DEPLOYMENTS)
        found["properties"]["traffic"] = {first: 50, second: 50}
        with pytest.raises(Refused, match="somebody else has moved it"):
            apply(plan, cloud)
        assert endpoint(azure)["properties"]["traffic"] == {first: 50, second: 50}


def test_an_endpoint_with_more_in_it_than_planned_is_not_deleted(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan, (made,) = cloud.plan_delete(), azure.store.all(DEPLOYMENTS)
    azure.store.put(made["id"].replace(made["name"], "theirs"), {**made, "tags": {}})
    with pytest.raises(CloudError, match="it has the deployment theirs since"):
        apply(plan, cloud)
    assert len(names(azure, DEPLOYMENTS)) == 2


def test_what_gets_a_copy_of_the_traffic_stays(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    earlier = endpoint(azure)["tags"][PREVIOUS]
    endpoint(azure)["properties"]["mirrorTraffic"] = {earlier: 10}
    deploy(cloud, versions["c"])
    assert earlier in names(azure, DEPLOYMENTS)
    assert not [s for s in cloud.plan_delete_unproved().steps if s.action is Action.DELETE]


def marks(found: dict[str, Any]) -> dict[str, str]:
    return dict(found.get("tags") or found["properties"].get("tags") or {})


def test_all_that_is_made_says_whose_it_is_and_since_when(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    for type_ in (ENDPOINTS, DEPLOYMENTS, *ASSETS):
        (found,) = azure.store.all(type_)
        assert marks(found)["onnxferry"] == NAME
        assert marks(found)["onnxferry-deployed"].endswith("+00:00")
    for blob in azure.blobs.accounts["wsstore"]["azureml-blobstore"].values():
        assert blob.metadata["onnxferry"] == NAME
        assert blob.metadata["onnxferryversion"] == versions["a"].version
