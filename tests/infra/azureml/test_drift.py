"""What differs from deploy.toml is seen and set right; what somebody scaled stays scaled; quota is
asked before anything is made; and all that was ever made is found."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import DEPLOYED
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.plan_text import plan_text
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.quotas import MACHINE_LEARNING, Quotas
from tests.infra.azureml.conftest import NAME, connected, deploy
from tests.infra.azureml.test_flow import answer, endpoint, names
from tests.infra.azureml.test_unproved import spoil, there

FAMILY = (MACHINE_LEARNING, "standardFSv2Family")


def serving(azure: AzureFake) -> dict[str, Any]:
    """The deployment that takes the traffic."""
    (name,) = endpoint(azure)["properties"]["traffic"]
    return next(one for one in azure.store.all(DEPLOYMENTS) if one["name"] == name)


def test_changed_tags_are_an_update(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(connected(tags={"team": "a"}), versions[name])
    for found in (endpoint(azure), *azure.store.all(DEPLOYMENTS)):
        found["tags"]["theirs"] = "stays"
    cloud = connected(tags={"team": "b", "cost": "7"})
    changes = [step.resource for step in deploy(cloud, versions["b"]).changes]
    assert changes == ["tags of endpoint", *["tags of deployment"] * 2]
    for found in (endpoint(azure), *azure.store.all(DEPLOYMENTS)):
        tags = found["tags"]
        assert (tags["team"], tags["cost"], tags["theirs"]) == ("b", "7", "stays")
    assert not cloud.plan_deploy(versions["b"]).changes


@pytest.mark.parametrize(
    "changed",
    [
        {"environmentVariables": {"WORKER_COUNT": "9"}},
        {"requestSettings": {"requestTimeout": "PT1S", "maxConcurrentRequestsPerInstance": 1}},
        {"instanceType": "Standard_F4s_v2"},
    ],
)
def test_a_setting_that_somebody_changed_is_seen_and_set_right(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle], changed: dict[str, Any]
) -> None:
    deploy(cloud, versions["a"])
    wanted = {key: serving(azure)["properties"][key] for key in changed}
    serving(azure)["properties"] |= changed
    serving(azure)["tags"]["theirs"] = "stays"
    assert [str(s) for s in cloud.plan_deploy(versions["a"]).changes] == [
        f"update deployment {serving(azure)['name']}"
    ]
    deploy(cloud, versions["a"])
    assert {key: serving(azure)["properties"][key] for key in changed} == wanted
    assert serving(azure)["tags"]["theirs"] == "stays"
    assert answer(cloud) == versions["a"].golden.answer["answer"]
    assert not cloud.plan_deploy(versions["a"]).changes


def test_the_time_of_a_deployment_is_no_difference(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    serving(azure)["tags"][DEPLOYED] = endpoint(azure)["tags"][DEPLOYED] = "2001-01-01T00:00:00"
    assert not cloud.plan_deploy(versions["a"]).changes


def test_a_scaled_deployment_is_not_scaled_back(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    serving(azure)["sku"]["capacity"] = 4  # autoscaled
    assert not cloud.plan_deploy(versions["a"]).changes
    plan = deploy(cloud, versions["b"])
    assert serving(azure)["sku"]["capacity"] == 4
    assert "runs 4 instances, scaled from 1" in plan_text(plan)
    assert plan.summary.peak == "8 x Standard_F2s_v2"
    assert (plan.summary.region, plan.summary.count) == ("westeurope", 4)
    deploy(connected(serving={"instance_count": 2}), versions["b"])
    assert serving(azure)["sku"]["capacity"] == 2


def test_too_little_quota_is_told_before_anything_is_made(
    cloud: OnlineEndpoint, azure: AzureFake, quotas: Quotas, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    quotas.limits[FAMILY], quotas.used[FAMILY] = 4, 3
    summary = cloud.plan_deploy(versions["b"]).summary
    assert "1 x Standard_F2s_v2 needs 2 cores more, and" in summary.shortage
    assert "1 of 4 free" in summary.shortage
    quotas.used[FAMILY] = 2
    summary = cloud.plan_deploy(versions["b"]).summary
    assert summary.shortage == ""
    assert any("may need 4 cores more" in note for note in summary.notes)
    quotas.limits[FAMILY] = 6
    (note,) = cloud.plan_deploy(versions["b"]).summary.notes
    assert "take the traffic back" in note


def test_what_goes_first_makes_room(
    cloud: OnlineEndpoint, quotas: Quotas, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    quotas.limits[FAMILY] = quotas.used[FAMILY] = 8
    summary = cloud.plan_deploy(versions["c"]).summary
    (note,) = summary.notes
    assert summary.shortage == ""
    assert "take the traffic back" in note


def test_quota_that_may_not_be_read_is_a_note(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.arm.denied.add(f"GET {MACHINE_LEARNING}/locations/vmSizes")
    azure.arm.denied.add(f"GET {MACHINE_LEARNING}/locations/usages")
    summary = deploy(cloud, versions["a"]).summary
    assert summary.shortage == ""
    assert summary.notes[0].startswith("The quota was not checked: ")


def test_all_that_was_ever_made_is_found(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    cloud = connected(serving={"instance_count": 2})
    deploy(cloud, versions["a"])
    space, theirs = ml.workspace(), ml.workspace("theirs", "elsewhere", "theirstore")
    made = next(iter(azure.store.all(DEPLOYMENTS)))
    azure.store.put(f"{space}/onlineEndpoints/plain", {"location": "westeurope", "tags": {}})
    azure.store.put(
        f"{theirs}/onlineEndpoints/old",
        {"location": "westeurope", "tags": {"onnxferry": "old"}, "properties": {}},
    )
    found = {(one.kind, one.endpoint): one for one in cloud.listed()}
    assert set(found) == {
        ("endpoint", "old"),
        *((kind, NAME) for kind in ("endpoint", "deployment", "model", "environment")),
        *((f"{kind} files", NAME) for kind in ("model", "code")),
    }
    deployment = found["deployment", NAME]
    assert (deployment.name, deployment.state) == (made["name"], "Succeeded")
    assert deployment.version == versions["a"].version
    assert deployment.deployed.endswith("+00:00")
    assert deployment.instance_hours == 48
    assert found["endpoint", "old"].place == "elsewhere, westeurope"


def test_the_lease_is_kept_beside_the_files_and_goes_with_them(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    store = cloud.lease_store()
    etag = store.write("{}", "")
    assert etag
    assert store.write("{}!", "") is None
    assert cloud.status().state == "absent"
    assert not cloud.plan_delete().steps
    deploy(cloud, versions["a"])
    apply(cloud.plan_delete(), cloud)
    assert there(azure) == [[]] * 6
    assert store.write("{}", etag) is None


def test_a_previous_version_goes_where_none_shall_be_kept(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    small = connected(keep_previous=False)
    deploy(small, versions["b"])
    assert len(names(azure, DEPLOYMENTS)) == 1
    assert small.status().previous == ""
    assert not small.plan_deploy(versions["b"]).changes
    spoil(ml, small, versions["c"])
    assert len(names(azure, ENDPOINTS)) == 1
