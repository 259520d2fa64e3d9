"""What is given to an app: a subnet and an identity, which stay whose they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound, PublishFailed, Refused
from onnxferry.infra.functions.app_settings import RECORD
from onnxferry.infra.functions.desired import HOSTS, URLS
from tests.fakes.azure.providers import given
from tests.infra.functions.azure_account import APP, AzureAccount, Hours, by, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]
OWNER, PUBLISHER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "3913510d-42f4-4e42-8a64-420c390055eb"
ROLES = "Microsoft.Authorization/roleAssignments"
CLIENT, SENDER = "AzureWebJobsStorage__clientId", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"


@pytest.fixture
def group(azure: AzureAccount) -> str:
    """The id of a resource group of the user's."""
    azure.fake.store.put(azure.group_id, {"location": "westeurope", "properties": {}})
    return azure.group_id


def identity(azure: AzureAccount, *roles: str, name: str = "serving") -> str:
    """The id of an identity that has `roles` in the resource group."""
    id_ = given.identity(azure.fake, azure.group_id, name)
    principal = (azure.fake.store.get(id_) or {})["properties"]["principalId"]
    for role in roles:
        facts = {"principalId": principal, "roleDefinitionId": f"/x/{role}"}
        path = f"{azure.group_id}/providers/{ROLES}/{name}-{role[:8]}"
        azure.fake.store.put(path, {"properties": facts})
    return id_


def site(azure: AzureAccount, app: str = APP) -> dict[str, Any]:
    return azure.apps.site(app) or {}


def joined(azure: AzureAccount) -> str:
    return str(site(azure)["properties"].get("virtualNetworkSubnetId", ""))


def test_a_subnet_is_joined_by_both_apps_and_left_again(
    azure: AzureAccount, versions: Versions, group: str
) -> None:
    subnet, other = (given.subnet(azure.fake, group, name) for name in ("apps", "others"))
    deploy(azure.cloud(subnet=subnet), versions[0])
    plan = azure.cloud(subnet=subnet).plan_deploy(versions[1])
    (candidate,) = [s for s in plan.steps if s.operation == "create_app"]
    assert candidate.parameters["site"]["properties"]["virtualNetworkSubnetId"] == subnet
    assert any("subnet apps" in note for note in plan.summary.notes)
    deploy(azure.cloud(subnet=other), versions[1])
    assert joined(azure) == other
    assert azure.cloud().status().details["subnet"] == "others"
    deploy(azure.cloud(), versions[1])
    assert joined(azure) == ""
    assert azure.cloud().plan_deploy(versions[1]).changes == ()


def test_a_subnet_that_the_user_took_instead_stays(
    azure: AzureAccount, versions: Versions, group: str
) -> None:
    subnet, other = (given.subnet(azure.fake, group, name) for name in ("apps", "others"))
    deploy(azure.cloud(subnet=subnet), versions[0])
    site(azure)["properties"]["virtualNetworkSubnetId"] = other
    assert azure.cloud(subnet=subnet).plan_deploy(versions[0]).changes
    deploy(azure.cloud(), versions[0])
    assert joined(azure) == other


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("", "it is delegated to nothing"),
        ("Microsoft.Web/serverFarms", "--delegations Microsoft.App/environments"),
    ],
)
@pytest.mark.usefixtures("group")
def test_a_subnet_that_is_not_fit_is_told_before_anything_is_made(
    azure: AzureAccount, versions: Versions, service: str, says: str
) -> None:
    there = given.subnet(azure.fake, azure.group_id, "apps", service)
    before = azure.kinds()
    with pytest.raises(Refused, match=re.escape(says)):
        azure.cloud(subnet=there).plan_deploy(versions[0])
    absent = there.replace("/apps", "/absent")
    with pytest.raises(NotFound, match=r"correct subnet in \[functions\] of deploy.toml"):
        azure.cloud(subnet=absent).plan_deploy(versions[0])
    assert azure.kinds() == before


def test_an_identity_serves_and_no_role_is_assigned_to_the_app(
    azure: AzureAccount, versions: Versions, group: str
) -> None:
    id_ = identity(azure, OWNER, PUBLISHER)
    facts = (azure.fake.store.get(id_) or {})["properties"]
    cloud = azure.cloud(identity=id_)
    plan = deploy(cloud, versions[0])
    assert not [step for step in plan.steps if step.operation == "assign_role"]
    assert any("identity serving must have the role" in note for note in plan.summary.notes)
    storage = site(azure)["properties"]["functionAppConfig"]["deployment"]["storage"]
    assert storage["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": id_,
    }
    settings = azure.apps.settings(APP)
    assert settings[CLIENT] == facts["clientId"]
    assert settings[SENDER] == f"ClientId={facts['clientId']};Authorization=AAD"
    cloud.logs(10)
    assert azure.insights.rows  # what it printed came
    assert cloud.plan_deploy(versions[0]).changes == ()
    run(cloud.plan_delete(), cloud)
    left = {r["id"] for r in azure.fake.store.everything()}
    assert id_ in left


def test_an_identity_comes_and_goes(azure: AzureAccount, versions: Versions, group: str) -> None:
    id_, theirs = identity(azure, OWNER, PUBLISHER), identity(azure, name="theirs")
    deploy(azure.cloud(), versions[0])
    site(azure)["identity"] |= {
        "type": "SystemAssigned, UserAssigned",
        "userAssignedIdentities": {theirs: {}},
    }
    deploy(azure.cloud(identity=id_), versions[1])
    assert set(site(azure)["identity"]["userAssignedIdentities"]) == {id_, theirs}
    own = site(azure)["identity"]["principalId"]
    assigned = [r["properties"]["principalId"] for r in azure.fake.store.all(ROLES)]
    assert own not in assigned  # it needs none any longer
    deploy(azure.cloud(), versions[1])
    assert set(site(azure)["identity"]["userAssignedIdentities"]) == {theirs}
    assert CLIENT not in azure.apps.settings(APP)
    assert azure.apps.settings(APP)[SENDER] == "Authorization=AAD"
    assert azure.cloud().plan_deploy(versions[1]).changes == ()


def test_an_identity_that_is_absent_or_has_no_role(
    azure: AzureAccount, versions: Versions, group: str
) -> None:
    id_ = identity(azure)
    with pytest.raises(NotFound, match=r"identity nobody: there is none of the id"):
        azure.cloud(identity=id_.replace("serving", "nobody")).plan_deploy(versions[0])
    with pytest.raises(PublishFailed, match="The identity serving may not open the storage") as e:
        deploy(by(Hours(), azure.cloud(identity=id_)), versions[0])
    assert "Storage Blob Data Owner" in str(e.value)
    assert not [kind for kind in azure.kinds() if kind.startswith("sites")]


def test_pictures_by_url_are_settings_of_ours(azure: AzureAccount, versions: Versions) -> None:
    hosts = ("images.example.com", "*.example.org")
    plan = deploy(azure.cloud(allow_urls=True, url_hosts=hosts), versions[0])
    assert any("images.example.com, *.example.org" in note for note in plan.summary.notes)
    found = azure.apps.settings(APP)
    assert (found[URLS], found[HOSTS]) == ("true", ",".join(hosts))
    azure.apps.put_settings(APP, {**found, URLS: "false"})
    assert azure.cloud(allow_urls=True, url_hosts=hosts).plan_deploy(versions[0]).changes
    deploy(azure.cloud(), versions[0])
    assert azure.apps.settings(APP)[URLS] == "false"
    assert HOSTS not in azure.apps.settings(APP)


def test_threads_that_the_user_set_win(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    threads = "PYTHON_THREADPOOL_THREAD_COUNT"
    assert azure.apps.settings(APP)[threads] == "4"
    plan = azure.cloud(environment={threads: "2"}).plan_deploy(versions[0])
    (promote,) = [step for step in plan.steps if step.operation == "promote"]
    assert promote.parameters["settings"] == {"set": {threads: "2"}}
    found = {**azure.apps.settings(APP), threads: "7"}
    found[RECORD] = found[RECORD].replace(f" {threads}", "")  # somebody set it in the portal
    azure.apps.put_settings(APP, found)
    assert azure.cloud().plan_deploy(versions[0]).changes == ()
