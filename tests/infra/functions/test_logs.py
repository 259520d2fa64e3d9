"""What functions print is kept in Application Insights, by a right of the app's own, and shown by
`logs`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NotFound, NotHealthy
from onnxferry.infra.functions.app_settings import CONNECTION, TELEMETRY
from onnxferry.infra.functions.cloud import FunctionsCloud
from tests.infra.functions.azure_account import APP, QUESTION, AzureAccount, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]
TRACEBACK = (
    '  File "/home/site/wwwroot/function_app.py", line 9, in score\nValueError: no such label'
)


def test_logs_show_what_functions_print_and_how_they_crash(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    assert f"{APP}: Executed 'Functions.score'" in cloud.logs(100)
    azure.apps.crashes[APP] = TRACEBACK
    assert cloud.invoke(QUESTION, 5).status == 500
    text = cloud.logs(100)
    assert all(line in text for line in TRACEBACK.splitlines())
    assert "ValueError: no such label" in text.partition("Stack:")[0]
    assert text.endswith("host: Running")


def test_they_can_be_followed(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    with pytest.raises(NotFound, match="no Application Insights of ours"):
        cloud.log_feed(1, None)
    deploy(cloud, versions[0])
    feed = cloud.log_feed(1, None)
    assert len(feed()) == 1
    assert feed() == []
    azure.apps.crashes[APP] = TRACEBACK
    cloud.invoke(QUESTION, 5)
    assert "ValueError: no such label" in "\n".join(feed())
    assert feed() == []
    assert len(cloud.log_feed(1, datetime.now(timezone.utc) - timedelta(days=1))()) > 1


def test_a_crash_of_a_candidate_is_found_after_it_went(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    azure.apps.crashes[f"{APP}-candidate"] = TRACEBACK
    with pytest.raises(NotHealthy):
        deploy(azure.cloud(), versions[1])
    assert f"{APP}-candidate: RpcException" in azure.cloud().logs(100)


def test_it_is_made_marked_and_deleted_with_the_app(
    azure: AzureAccount, versions: Versions
) -> None:
    azure.fake.store.put(azure.group_id, {"location": "westeurope", "properties": {}})
    deploy(azure.cloud(), versions[0])
    for id_ in (azure.names.workspace_id, azure.names.component_id):
        tags = (azure.fake.store.get(id_) or {})["tags"]
        assert (tags["onnxferry"], tags["onnxferry-version"]) == (APP, versions[0].package.sha256)
    kinds = {kind for kind, _, _ in azure.cloud().status().resources}
    assert {"Log Analytics workspace", "Application Insights"} <= kinds
    cloud = azure.cloud()
    run(cloud.plan_delete(), cloud)
    assert azure.fake.store.get(azure.names.workspace_id) is None
    assert azure.fake.store.get(azure.names.component_id) is None


def without(azure: AzureAccount) -> FunctionsCloud:
    return azure.cloud(application_insights=False)


def test_it_can_be_left_out(azure: AzureAccount, versions: Versions) -> None:
    deploy(without(azure), versions[0])
    assert not [kind for kind in azure.kinds() if kind.startswith(("components", "workspaces"))]
    assert not set(azure.apps.settings(APP)) & set(TELEMETRY)
    assert "no Application Insights of ours" in without(azure).logs(100)
    assert without(azure).plan_deploy(versions[0]).changes == ()


def test_it_comes_and_goes_with_the_key(azure: AzureAccount, versions: Versions) -> None:
    deploy(without(azure), versions[0])
    deploy(azure.cloud(), versions[0])
    assert azure.apps.settings(APP)[CONNECTION]
    assert azure.cloud().plan_deploy(versions[0]).changes == ()
    deploy(without(azure), versions[0])
    assert not set(azure.apps.settings(APP)) & set(TELEMETRY)
    assert without(azure).plan_deploy(versions[0]).changes == ()


@pytest.mark.parametrize("by", ["portal", "deploy.toml"])
def test_the_users_own_stays(azure: AzureAccount, versions: Versions, by: str) -> None:
    own = {CONNECTION: "InstrumentationKey=theirs"}
    if by == "portal":
        deploy(without(azure), versions[0])
        azure.apps.put_settings(APP, {**azure.apps.settings(APP), **own})
    cloud = azure.cloud(environment=own if by == "deploy.toml" else {})
    deploy(cloud, versions[1])
    assert azure.apps.settings(APP)[CONNECTION] == own[CONNECTION]
    assert azure.fake.store.get(azure.names.component_id) is None


def test_one_of_that_name_that_is_not_ours(azure: AzureAccount, versions: Versions) -> None:
    azure.fake.store.put(azure.group_id, {"location": "westeurope", "properties": {}})
    azure.fake.store.put(azure.names.component_id, {"location": "westeurope", "properties": {}})
    with pytest.raises(NameTaken, match="application_insights = false"):
        azure.cloud().plan_deploy(versions[0])


def test_who_may_not_query_sees_the_rest(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    workspace = azure.fake.store.get(azure.names.workspace_id) or {}
    workspace["properties"]["customerId"] = "another"
    azure.fake.arm.denied.add("POST nothing")
    text = azure.cloud().logs(100)
    assert "host: Running" in text
