"""Deploy, deploy again, update, roll back, delete: on the fake's state."""

from __future__ import annotations

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action
from tests.infra.functions.azure_account import APP, GROUP, QUESTION, AzureAccount, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]


def test_first_deployment(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    assert azure.serves() == versions[0].package.sha256
    assert azure.apps.history == [(APP, versions[0].package.sha256)]
    tags = azure.tags()
    assert (tags["onnxferry"], tags["onnxferry-version"], tags["onnxferry-publishing"]) == (
        APP,
        versions[0].package.sha256,
        "",
    )
    status = cloud.status()
    assert (status.version, status.previous, status.state) == (versions[0].version, "", "Succeeded")


def test_a_second_deployment_has_nothing_to_do(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    plan = deploy(azure.cloud(), versions[0])
    assert plan.changes == ()
    assert {step.action for step in plan.steps} == {Action.REUSE, Action.CHECK}
    assert azure.apps.history == [(APP, versions[0].package.sha256)]


def test_an_update_is_proved_on_the_candidate_first(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    deploy(cloud, versions[1])
    one, two = (v.package.sha256 for v in versions[:2])
    candidate = f"{APP}-candidate"
    assert azure.apps.history == [(APP, one), (candidate, two), (APP, two), (candidate, "")]
    assert azure.tags()["onnxferry-previous"] == one
    assert not [kind for kind in azure.kinds() if "candidate" in kind]
    # the uploader's, the app's on the storage account and on Application Insights
    assert len([kind for kind in azure.kinds() if kind.startswith("roleAssignments")]) == 3


def test_a_third_version_prunes_the_first(azure: AzureAccount, versions: Versions) -> None:
    for version in versions:
        deploy(azure.cloud(), version)
    kept = azure.blobs.names(azure.names.account, "onnxferry-packages")
    assert kept == sorted(f"{APP}/{v.package.sha256}.zip" for v in versions[1:])


def test_rollback_and_back_again(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    deploy(cloud, versions[1])
    for serving, previous in ((0, 1), (1, 0)):
        run(cloud.plan_rollback(), cloud)  # from another machine: without a bundle
        assert azure.serves() == versions[serving].package.sha256
        assert cloud.status().previous == versions[previous].version


def test_nothing_to_roll_back_to(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    with pytest.raises(NotFound, match="no previous version is kept"):
        azure.cloud().plan_rollback()


def test_delete_removes_all_that_deploying_made(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    deploy(cloud, versions[1])
    run(cloud.plan_delete(), cloud)
    assert azure.kinds() == []
    assert cloud.plan_delete().steps == ()
    assert cloud.status().state == "absent"


def test_invoke_says_what_served(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    reply = azure.cloud().invoke(QUESTION, 10)
    assert (reply.status, reply.served_by) == (200, versions[0].version)
    assert b"Rebecca" in reply.body
    assert GROUP not in reply.served_by
