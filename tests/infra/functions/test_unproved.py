"""What is begun and not proved: it goes when a run fails, or is kept and named; and nothing is
deleted or replaced that another run has put to use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, LeaseLost, NotFound, WrongAnswer
from onnxferry.infra.plan import Plan
from tests.infra.functions.azure_account import APP, AzureAccount, deploy, run
from tests.infra.quiet import QuietReport

Versions = tuple[Bundle, Bundle, Bundle]
CANDIDATE = f"{APP}-candidate"


def failing(azure: AzureAccount, versions: Versions, app: str) -> Plan:
    """A plan for a version that `app` answers wrongly."""
    azure.apps.answers = {(app, versions[1].package.sha256): b'{"answer": "?"}'}
    return azure.cloud().plan_deploy(versions[1])


@pytest.mark.parametrize(("before", "app"), [(0, APP), (1, CANDIDATE), (1, APP)])
def test_what_failed_goes(azure: AzureAccount, versions: Versions, app: str, before: int) -> None:
    if before:
        deploy(azure.cloud(), versions[0])
    there = azure.kinds()
    with pytest.raises(WrongAnswer, match=r"Removed what was not proved: .*plan squad"):
        run(failing(azure, versions, app), azure.cloud())
    if before:
        assert azure.kinds() == there
        assert azure.serves() == versions[0].package.sha256
    else:
        assert not [k for k in azure.kinds() if k.startswith(("sites", "serverfarms"))]
        assert f"containers onnxferry-app-{APP}" not in azure.kinds()


def test_what_is_kept_is_named_marked_and_deleted_alone(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    there, cloud = azure.kinds(), azure.cloud()
    plan = failing(azure, versions, CANDIDATE)
    with pytest.raises(WrongAnswer, match=f"Kept.*app {CANDIDATE} .billed by request.*--unproved"):
        apply(plan, cloud, QuietReport(), Terms(keep_failed=True))
    states = {(kind, name): state for kind, name, state in cloud.status().resources}
    assert "not proved, billed by request" in states["app", CANDIDATE]
    assert "not proved" not in states["app", APP]
    run(cloud.plan_delete_unproved(), cloud)
    assert azure.kinds() == there
    assert azure.blobs.names(azure.names.account, "onnxferry-packages") == [
        f"{APP}/{versions[0].package.sha256}.zip"
    ]
    assert cloud.plan_delete_unproved().changes == ()


def test_a_first_app_that_is_kept(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    with pytest.raises(WrongAnswer, match="Kept"):
        apply(failing(azure, versions, APP), cloud, QuietReport(), Terms(keep_failed=True))
    states = {(kind, name): state for kind, name, state in cloud.status().resources}
    assert "not proved, billed by request" in states["app", APP]
    run(cloud.plan_delete_unproved(), cloud)
    assert not [k for k in azure.kinds() if k.startswith(("sites", "workspaces", "components"))]


Between = Callable[[AzureAccount, Versions], object]


def another_deploys(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[2])


def another_begins(azure: AzureAccount, versions: Versions) -> None:
    (azure.apps.site(APP) or {})["tags"]["onnxferry-publishing"] = versions[2].package.sha256


@pytest.mark.parametrize("between", [another_deploys, another_begins])
@pytest.mark.parametrize("purpose", ["deploy", "roll back", "delete"])
def test_a_plan_that_is_out_of_date_changes_nothing_that_serves(
    azure: AzureAccount, versions: Versions, between: Between, purpose: str
) -> None:
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    cloud = azure.cloud()
    plans = {
        "deploy": lambda: cloud.plan_deploy(versions[0]),
        "roll back": cloud.plan_rollback,
        "delete": cloud.plan_delete,
    }
    plan = plans[purpose]()
    between(azure, versions)
    serves, tags = azure.serves(), azure.tags()
    with pytest.raises(CloudError, match=r"another run has changed it|BlobNotFound"):
        run(plan, cloud)
    assert (azure.serves(), azure.tags()) == (serves, tags)


def test_a_package_that_is_needed_again_stays(azure: AzureAccount, versions: Versions) -> None:
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    (prune,) = [s for s in azure.cloud().plan_deploy(versions[2]).steps if s.resource == "package"][
        -1:
    ]
    assert prune.operation == "delete_package"
    run(azure.cloud().plan_rollback(), azure.cloud())
    with pytest.raises(LeaseLost, match="put it to use"):
        azure.cloud().execute(prune, lambda text: None)


def photos(azure: AzureAccount) -> None:
    account = azure.names.account_id
    azure.fake.store.put(f"{account}/blobServices/default/containers/photos", {"properties": {}})


def network(azure: AzureAccount) -> None:
    azure.fake.store.put(
        f"{azure.group_id}/providers/Microsoft.Network/virtualNetworks/{APP}",
        {"location": "westeurope"},
    )


@pytest.mark.parametrize("arrives", [photos, network])
def test_what_arrives_after_the_plan_is_not_deleted_with_ours(
    azure: AzureAccount, versions: Versions, arrives: Callable[[AzureAccount], None]
) -> None:
    deploy(azure.cloud(), versions[0])
    cloud = azure.cloud()
    plan = cloud.plan_delete()
    arrives(azure)
    before = set(azure.kinds())
    with pytest.raises(CloudError, match=r"somebody has put something there|it stays"):
        run(plan, cloud)
    new = "containers photos" if arrives is photos else f"virtualNetworks {APP}"
    assert new in set(azure.kinds()) & before


def test_the_lease_lies_beside_the_packages(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    with pytest.raises(NotFound):
        cloud.lease_store()
    plan = cloud.plan_deploy(versions[0])
    first = [step.operation for step in plan.steps[: plan.foundation]]
    assert first[-2:] == ["create_container", "give_access"]
    run(Plan(plan.target, plan.purpose, plan.name, plan.steps[: plan.foundation]), cloud)
    store = cloud.lease_store()
    assert store.read() is None
    assert store.write("{}", "")
    assert azure.blobs.names(azure.names.account, "onnxferry-packages") == [f"{APP}/lease.json"]
    deploy(cloud, versions[0])
    run(cloud.plan_delete(), cloud)
    assert azure.kinds() == []


def test_in_an_account_that_stays_the_lease_goes_too(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    blobs = azure.blobs.accounts[azure.names.account]["onnxferry-packages"]
    azure.cloud().lease_store().write("{}", "")
    blobs["theirs.txt"] = next(iter(blobs.values()))
    cloud = azure.cloud()
    run(cloud.plan_delete(), cloud)
    assert list(blobs) == ["theirs.txt"]
