"""The template of an app, deployed to the strict fake: what it makes is what `deploy` makes, each
finds the other's as its own, and nothing of anybody's is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.clients.azure_roles import BLOB_OWNER, ROLES
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NameTaken, NotAllowed
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.infra.plan import Action, Plan
from onnxferry.scripts.package import Package
from tests.fakes.azure.providers.given import identity, subnet
from tests.infra.functions.azure_account import APP, GROUP, AzureAccount, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]
PACKAGE = Package("functions", "tiny-qa", Path("function.zip"), "", 0, "3.12", ())
SETTINGS: dict[str, Any] = {
    "tags": {"team": "ml"},
    "environment": {"ONNXFERRY_ENGINE_THREADS": "1", "LABEL": "[not('an expression')]"},
    "http_concurrency": 4,
    "instance_memory_mb": 4096,
}
CLIENT = "00000000-0000-0000-0000-0000000000c1"


def given(azure: AzureAccount) -> dict[str, Any]:
    """Settings with a network, an identity that has its roles, and an app registration."""
    fake, group = azure.fake, azure.group_id
    fake.store.put(group, {"location": "westeurope", "properties": {}})
    id_ = identity(fake, group)
    principal = (fake.store.get(id_) or {})["properties"]["principalId"]
    facts = {"principalId": principal, "roleDefinitionId": f"x/{ROLES[BLOB_OWNER]}"}
    role = f"{group}/providers/Microsoft.Authorization/roleAssignments/given"
    fake.store.put(role, {"properties": facts})
    fake.login.applications.add(f"api://{CLIENT}")
    network = {"subnet": subnet(fake, group), "identity": id_}
    return {**network, "auth": "entra", "entra_client_id": CLIENT, "always_ready": 2}


MADE_OF: dict[str, Callable[[AzureAccount], dict[str, Any]]] = {
    "defaults": lambda azure: {},
    "settings": lambda azure: SETTINGS,
    "given": given,
}


@pytest.fixture(params=MADE_OF)
def settings(request: pytest.FixtureRequest, azure: AzureAccount) -> dict[str, Any]:
    """Those of a deploy.toml, what it gives being there."""
    return MADE_OF[request.param](azure)


def deploy_template(cloud: FunctionsCloud) -> Plan:
    return run(cloud.plan_template(PACKAGE), cloud)


def changes(plan: Plan) -> list[str]:
    return [str(step) for step in plan.changes]


def bodies(azure: AzureAccount) -> dict[str, Any]:
    """All that is there by its id, without what differs each time."""
    found: dict[str, Any] = {}
    for one in azure.fake.store.everything():
        text = json.dumps(one).replace(azure.apps.principals.get(APP, "-"), "PRINCIPAL")
        found[one["id"]] = resource = json.loads(text)
        properties = resource.get("properties") or {}
        for facts in (resource.get("tags") or {}, properties.get("metadata") or {}):
            for name in list(facts):
                if name.replace("_", "-") in ("onnxferry-version", "onnxferry-deployed"):
                    del facts[name]
        properties.pop("customerId", None)
    return found


def test_a_template_makes_what_deploy_makes(
    azure: AzureAccount, versions: Versions, settings: dict[str, Any]
) -> None:
    empty = azure.snapshot()
    cloud = azure.cloud(**settings)
    deploy(cloud, versions[0])
    by_deploy, settings_by_deploy = bodies(azure), azure.apps.settings(APP)
    azure.restore(empty)
    plan = deploy_template(azure.cloud(**settings))
    by_template = bodies(azure)
    assert by_template.keys() == by_deploy.keys()
    site = azure.names.app_id(APP)
    for tag in ("onnxferry-previous", "onnxferry-publishing"):  # of a package
        by_deploy[site]["tags"].pop(tag)
    for id_, resource in by_deploy.items():
        assert by_template[id_] == resource
    assert azure.apps.settings(APP) == settings_by_deploy
    assert "create app squad" in changes(plan)


def test_after_a_template_deploy_only_publishes(
    azure: AzureAccount, versions: Versions, settings: dict[str, Any]
) -> None:
    cloud = azure.cloud(**settings)
    deploy_template(cloud)
    plan = deploy(cloud, versions[0])
    assert changes(plan) == [
        f"create package {versions[0].version}",
        "update package of app squad",
        "update versions in the tags of app squad",
    ]
    assert azure.serves() == versions[0].package.sha256


def test_after_deploy_a_template_changes_nothing(
    azure: AzureAccount, versions: Versions, settings: dict[str, Any]
) -> None:
    cloud = azure.cloud(**settings)
    deploy(cloud, versions[0])
    deploy(cloud, versions[1])
    plan = cloud.plan_template(PACKAGE)
    assert (changes(plan), plan.summary.notes) == ([], ())
    assert {step.action for step in plan.steps} == {Action.REUSE}
    assert cloud.plan_deploy(versions[1]).changes == ()


def test_a_change_of_deploy_toml_is_shown_and_made_and_what_others_set_stays(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(**SETTINGS), versions[0])
    azure.apps.app_settings[APP] |= {"THEIRS": "secret-of-theirs", "LEVEL": "theirs"}
    site = azure.apps.site(APP)
    assert site
    site["tags"]["owner"] = "them"
    environment = {"LEVEL": "ours"}
    cloud = azure.cloud(tags={"team": "ml2"}, environment=environment, instance_memory_mb=512)
    plan = cloud.plan_template(PACKAGE)
    memory = "properties.functionAppConfig.scaleAndConcurrency.instanceMemoryMB"
    assert f"app squad: {memory}: 4096 -> 512" in plan.summary.notes
    assert "storage account squad" in "; ".join(plan.summary.notes)
    assert "update environment of app squad" in changes(plan)
    assert not {
        word for word in ("secret-of-theirs", "InstrumentationKey") if word in plan.to_json()
    }
    run(plan, cloud)
    settings, tags = azure.apps.settings(APP), azure.tags()
    assert (settings["THEIRS"], settings["LEVEL"]) == ("secret-of-theirs", "ours")
    assert "LABEL" not in settings
    assert "theirs" in settings.values()  # set aside, until ours goes
    assert (tags["owner"], tags["team"]) == ("them", "ml2")
    assert tags["onnxferry-version"] == versions[0].package.sha256
    assert cloud.plan_template(PACKAGE).changes == ()
    assert cloud.plan_deploy(versions[0]).changes == ()


def test_no_group_yet(azure: AzureAccount) -> None:
    plan = azure.cloud().plan_template(PACKAGE)
    assert changes(plan)[0] == f"create resource group {GROUP}"
    assert "Azure was not asked" in plan.summary.notes[0]
    assert azure.kinds() == []


def test_without_application_insights_and_in_a_given_account(
    azure: AzureAccount, versions: Versions
) -> None:
    azure.cloud().clients.groups.create(GROUP, "westeurope", {})
    cloud = azure.cloud(storage_account="theirs", application_insights=False)
    cloud.clients.storage.create("theirs", "westeurope", {"owner": "them"}).wait()
    plan = deploy_template(cloud)
    assert not [line for line in changes(plan) if "storage account" in line or "Insights" in line]
    account = azure.fake.store.get(azure.cloud(storage_account="theirs").names.account_id)
    assert account and account["tags"] == {"owner": "them"}
    azure.blobs.denied.discard("theirs")  # whose it is let the user in
    assert "create app squad" not in changes(deploy(cloud, versions[0]))
    assert azure.serves() == versions[0].package.sha256


def test_a_resource_that_fails_is_named_and_the_next_run_goes_on(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud()
    azure.fake.arm.failures["microsoft.web/serverfarms"] = ("QuotaExceeded", "no quota is left")
    with pytest.raises(CloudError, match=r"serverfarms|squad-plan.*no quota is left"):
        deploy_template(cloud)
    assert f"storageAccounts {azure.names.account}" in azure.kinds()
    assert azure.apps.site(APP) is None
    plan = deploy_template(cloud)
    assert "create app squad" in changes(plan)
    assert f"create storage account {azure.names.account}" not in changes(plan)
    assert deploy_template(cloud).changes == ()


def test_two_resources_that_fail_are_both_named(azure: AzureAccount) -> None:
    azure.fake.arm.failures["microsoft.web/serverfarms"] = ("Odd", "no plan today")
    azure.fake.arm.refusals["microsoft.insights/components"] = (400, "Odder", "no insights today")
    with pytest.raises(CloudError) as e:
        deploy_template(azure.cloud())
    assert "squad-plan: no plan today" in str(e.value)
    assert "squad-insights: no insights today" in str(e.value)


def test_a_missing_permission_is_named_before_anything_is_made(azure: AzureAccount) -> None:
    azure.cloud().clients.groups.create(GROUP, "westeurope", {})
    lacking = "Microsoft.Web/sites/write"
    azure.fake.authorizer.allows = lambda permission: permission.action != lacking
    try:
        with pytest.raises(NotAllowed, match=lacking):
            azure.cloud().plan_template(PACKAGE)
    finally:
        azure.fake.authorizer.allows = lambda permission: True
    assert azure.kinds() == [f"resourceGroups {GROUP}"]


def test_a_name_that_somebody_has(azure: AzureAccount) -> None:
    azure.apps.taken.add(APP)
    with pytest.raises(NameTaken, match=APP):
        azure.cloud().plan_template(PACKAGE)
    azure.apps.taken.clear()


def test_a_file_for_a_pipeline_keeps_what_is_there(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    fresh, over = (json.loads(cloud.template(PACKAGE, over=over)) for over in (False, True))
    assert fresh["parameters"]["kept"]["defaultValue"]["app"] == {}
    kept = over["parameters"]["kept"]["defaultValue"]["app"]
    assert kept["onnxferry-version"] == versions[0].package.sha256
    assert {**over, "parameters": None} == {**fresh, "parameters": None}


def test_a_fresh_template_asks_azure_nothing(azure: AzureAccount) -> None:
    cloud = azure.cloud()
    azure.fake.restart_counting()
    assert json.loads(cloud.template(PACKAGE))["resources"]
    assert azure.fake.calls == []


def test_names_that_the_expressions_do_not_make(azure: AzureAccount, versions: Versions) -> None:
    """A container's name has no two hyphens in a row, which an app's may have."""
    cloud = azure.cloud("a--b")
    deploy_template(cloud)
    assert "create container" not in "; ".join(changes(deploy(cloud, versions[0])))


def test_a_long_name(azure: AzureAccount) -> None:
    cloud = azure.cloud("a" * 60)
    deploy_template(cloud)
    (name,) = azure.deployments.known
    assert len(name.rpartition("/")[2]) == 64
    assert cloud.plan_template(PACKAGE).changes == ()
