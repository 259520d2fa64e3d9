"""Settings of deploy.toml on the way to the app, and what a user has set there besides."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NoCredentials, WrongAnswer
from onnxferry.infra.functions.app_settings import RECORD, TELEMETRY
from onnxferry.infra.functions.sizing import Need, sizing
from tests.fakes.azure.login import TOKEN
from tests.fakes.azure.providers import given
from tests.infra.functions.azure_account import APP, AzureAccount, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]


def config(azure: AzureAccount) -> dict[str, Any]:
    found: dict[str, Any] = (azure.apps.site(APP) or {})["properties"]["functionAppConfig"]
    return found


def test_all_settings_reach_the_app(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud(
        instance_memory_mb=4096, maximum_instance_count=50, http_concurrency=4, tags={"team": "ml"}
    )
    deploy(cloud, versions[0])
    assert config(azure)["runtime"] == {"name": "python", "version": "3.12"}
    assert config(azure)["scaleAndConcurrency"] == {
        "instanceMemoryMB": 4096,
        "maximumInstanceCount": 50,
        "triggers": {"http": {"perInstanceConcurrency": 4}},
    }
    assert config(azure)["deployment"]["storage"]["authentication"] == {
        "type": "SystemAssignedIdentity"
    }
    assert {r["tags"]["team"] for r in azure.fake.store.everything() if "tags" in r} == {"ml"}
    account = azure.fake.store.get(azure.names.account_id) or {}
    assert account["properties"]["allowSharedKeyAccess"] is False
    assert azure.apps.settings(APP) | dict.fromkeys((RECORD, *TELEMETRY), "...") == {
        "AzureWebJobsStorage__accountName": azure.names.account,
        "AzureWebJobsStorage__credential": "managedidentity",
        **dict.fromkeys((RECORD, *TELEMETRY), "..."),
        "ONNXFERRY_FUNCTIONS_AUTH": "function",
        "ONNXFERRY_URLS_ALLOW": "false",
        **sizing(4096, Need(0), 4).settings,
    }


def test_other_settings_are_proved_before_they_serve(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    config(azure)["scaleAndConcurrency"]["alwaysReady"] = [{"name": "http", "instanceCount": 1}]
    (azure.apps.site(APP) or {})["tags"]["owner"] = "me"
    plan = deploy(azure.cloud(instance_memory_mb=4096), versions[0])
    assert f"{APP}-candidate" in {step.name for step in plan.changes}
    assert config(azure)["scaleAndConcurrency"]["instanceMemoryMB"] == 4096
    assert config(azure)["scaleAndConcurrency"]["alwaysReady"]  # what the user set there stays
    assert azure.tags()["owner"] == "me"
    assert deploy(azure.cloud(instance_memory_mb=4096), versions[0]).changes == ()


def attach(azure: AzureAccount) -> dict[str, Any]:
    """The user gives the app a network, access restrictions and an identity; what they set."""
    site = azure.apps.site(APP) or {}
    subnet = given.subnet(azure.fake, azure.group_id)
    identity = given.identity(azure.fake, azure.group_id, "me")
    site["properties"] |= {
        "virtualNetworkSubnetId": subnet,
        "outboundVnetRouting": {"allTraffic": True},
    }
    site["properties"]["siteConfig"]["ipSecurityRestrictions"] = [{"ipAddress": "10.0.0.0/8"}]
    site["identity"] |= {"type": "SystemAssigned, UserAssigned"}
    site["identity"]["userAssignedIdentities"] = {identity: {"principalId": "p"}}
    return theirs(azure)


def theirs(azure: AzureAccount) -> dict[str, Any]:
    site = azure.apps.site(APP) or {}
    keys = ("virtualNetworkSubnetId", "outboundVnetRouting", "siteConfig", "httpsOnly")
    found = {key: site["properties"].get(key) for key in keys}
    identity = site["identity"]
    return copy.deepcopy(
        {**found, "type": identity["type"], "of": sorted(identity["userAssignedIdentities"])}
    )


@pytest.mark.parametrize("fails", [False, True])
def test_what_the_user_attached_to_the_app_stays(
    azure: AzureAccount, versions: Versions, fails: bool
) -> None:
    deploy(azure.cloud(), versions[0])
    before, principal = attach(azure), dict(azure.apps.principals)
    if fails:
        azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    cloud = azure.cloud(instance_memory_mb=4096, environment={"TEAM": "ml"}, tags={"team": "ml"})
    with pytest.raises(WrongAnswer) if fails else nullcontext():
        deploy(cloud, versions[1])
    assert config(azure)["scaleAndConcurrency"]["instanceMemoryMB"] == (2048 if fails else 4096)
    assert theirs(azure) == before
    assert azure.apps.principals[APP] == principal[APP]


def test_settings_go_back_with_their_version(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    successor = replace(versions[1], package=replace(versions[1].package, python="3.11"))
    with pytest.raises(WrongAnswer):
        deploy(azure.cloud(instance_memory_mb=4096), successor)
    assert config(azure)["scaleAndConcurrency"]["instanceMemoryMB"] == 2048
    assert config(azure)["runtime"]["version"] == "3.12"


def test_a_roll_back_brings_the_python_of_its_package(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    deploy(azure.cloud(), replace(versions[1], package=replace(versions[1].package, python="3.11")))
    assert config(azure)["runtime"]["version"] == "3.11"
    run(azure.cloud().plan_rollback(), azure.cloud())
    assert config(azure)["runtime"]["version"] == "3.12"


def test_a_plan_only_reads_and_holds_no_secret(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    cloud = azure.cloud()
    before = azure.kinds(), azure.tags()
    azure.fake.restart_counting()
    texts = [
        cloud.plan_deploy(versions[1]).to_json(),
        cloud.plan_delete().to_json(),
        str(cloud.status()),
    ]
    assert (azure.kinds(), azure.tags()) == before
    assert {call.method for call in azure.fake.calls if "/providers/" in call.path} <= {
        "GET",
        "POST",
    }
    assert not [text for text in texts if "never-to-be-printed" in text or TOKEN in text]


def test_nobody_signed_in(azure: AzureAccount) -> None:
    with azure.fake.reachable(known=False), pytest.raises(NoCredentials, match="az login"):
        azure.cloud().status()
