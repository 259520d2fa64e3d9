"""What differs from deploy.toml is a change, and what left deploy.toml goes; tags and marks on all
that is made."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import WrongAnswer
from tests.infra.functions.azure_account import APP, AzureAccount, deploy

Versions = tuple[Bundle, Bundle, Bundle]


def scale(azure: AzureAccount) -> dict[str, Any]:
    site = azure.apps.site(APP) or {}
    found: dict[str, Any] = site["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    return found


def test_a_key_that_leaves_goes_back_to_the_default(
    azure: AzureAccount, versions: Versions
) -> None:
    more: Any = {"http_concurrency": 9, "instance_memory_mb": 4096, "always_ready": 2}
    deploy(azure.cloud(**more), versions[0])
    assert scale(azure)["alwaysReady"] == [{"name": "http", "instanceCount": 2}]
    deploy(azure.cloud(), versions[0])
    assert scale(azure) == {
        "instanceMemoryMB": 2048,
        "maximumInstanceCount": 40,
        "triggers": {"http": {"perInstanceConcurrency": 4}},  # what its memory and cores bear
    }
    assert azure.cloud().plan_deploy(versions[0]).changes == ()


def test_what_a_user_set_by_hand_stays(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    theirs = [{"name": "http", "instanceCount": 7}]
    scale(azure)["alwaysReady"] = theirs
    deploy(azure.cloud(instance_memory_mb=4096), versions[1])
    assert scale(azure)["alwaysReady"] == theirs
    deploy(azure.cloud(always_ready=0), versions[1])  # until deploy.toml says that there are none
    assert "alwaysReady" not in scale(azure)


def test_it_comes_back_when_the_change_fails(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(http_concurrency=9, always_ready=1), versions[0])
    azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    with pytest.raises(WrongAnswer):
        deploy(azure.cloud(), versions[1])
    assert scale(azure)["triggers"] == {"http": {"perInstanceConcurrency": 9}}
    assert scale(azure)["alwaysReady"] == [{"name": "http", "instanceCount": 1}]
    left = azure.cloud(http_concurrency=9, always_ready=1).plan_deploy(versions[0]).changes
    assert {step.operation for step in left} == {"delete_package"}  # the candidate proved it


def test_changed_tags_are_changed_everywhere(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(tags={"team": "ml", "cost": "7"}), versions[0])
    (azure.apps.site(APP) or {})["tags"]["owner"] = "me"
    history = list(azure.apps.history)
    plan = deploy(azure.cloud(tags={"team": "nlp"}), versions[0])
    assert {step.operation for step in plan.changes} == {"change_tags"}
    tagged = [r["tags"] for r in azure.fake.store.everything() if "onnxferry" in r.get("tags", {})]
    assert len(tagged) == 6
    assert all(tags["team"] == "nlp" and "cost" not in tags for tags in tagged)
    assert azure.tags()["owner"] == "me"
    assert azure.apps.history == history  # nothing was published
    assert azure.cloud(tags={"team": "nlp"}).plan_deploy(versions[0]).changes == ()
    deploy(azure.cloud(), versions[0])
    assert "team" not in azure.tags()


def test_what_is_set_by_hand_is_a_difference(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(tags={"Team": "ml"}), versions[0])
    (azure.apps.site(APP) or {})["tags"]["Team"] = "?"
    assert azure.cloud(tags={"team": "ml"}).plan_deploy(versions[0]).changes
    deploy(azure.cloud(tags={"Team": "ml"}), versions[0])
    scale(azure)["maximumInstanceCount"] = 99
    plan = azure.cloud(tags={"Team": "ml"}).plan_deploy(versions[0])
    assert "promote" in {step.operation for step in plan.changes}


def test_everything_made_is_marked_and_listed(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    for resource in azure.fake.store.everything():
        facts = resource.get("tags") or (resource.get("properties") or {}).get("metadata")
        own = ("roleAssignments", "smartDetectorAlertRules", "actionGroups")
        if resource["type"].endswith(own):
            continue
        marks = {name.replace("_", "-"): value for name, value in (facts or {}).items()}
        assert marks["onnxferry"] == APP, resource["id"]
        assert marks["onnxferry-version"] == versions[0].package.sha256
        assert marks["onnxferry-deployed"].endswith("+00:00")
    (blob,) = azure.blobs.accounts[azure.names.account]["onnxferry-packages"].values()
    assert blob.metadata["onnxferry"] == APP
    found = {(one.kind, one.name): one for one in cloud.listed()}
    assert len(found) == 6
    app = found["app", APP]
    assert (app.endpoint, app.version, app.state) == (APP, versions[0].version, "serves")
    assert app.deployed.endswith("+00:00")
    assert app.instance_hours is None


def test_a_time_is_no_difference(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    for resource in azure.fake.store.everything():
        if "onnxferry-deployed" in resource.get("tags", {}):
            resource["tags"]["onnxferry-deployed"] = "2020-01-01T00:00:00+00:00"
    assert azure.cloud().plan_deploy(versions[0]).changes == ()
