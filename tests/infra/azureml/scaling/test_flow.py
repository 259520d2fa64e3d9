"""The life of an autoscale setting: each new deployment gets its own before it takes traffic, it
goes with its deployment, and what somebody else made stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import NotAllowed, Refused, WrongAnswer
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers import autoscale
from tests.fakes.azure.providers.autoscale import SETTINGS
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, MachineLearning
from tests.fakes.azure.providers.quotas import Quotas
from tests.infra.azureml.conftest import connected, deploy
from tests.infra.azureml.test_drift import FAMILY
from tests.infra.azureml.test_errors import failure
from tests.infra.azureml.test_unproved import spoil

SCALING = {"min": 2, "max": 6, "target": 70}
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/{SETTINGS}"


def scaled(**changes: Any) -> OnlineEndpoint:
    return connected(scaling={**SCALING, **changes})


def limits(azure: AzureFake) -> dict[str, tuple[str, str]]:
    """By the first digits of the version: the limits of each deployment's setting."""
    found = {}
    for one in azure.store.all(SETTINGS):
        capacity = one["properties"]["profiles"][0]["capacity"]
        deployment = one["properties"]["targetResourceUri"].rpartition("/")[2]
        found[deployment[1:13]] = (capacity["minimum"], capacity["maximum"])
    return found


def instances(azure: AzureFake) -> dict[str, int]:
    return {one["name"][1:13]: one["sku"]["capacity"] for one in azure.store.all(DEPLOYMENTS)}


def test_its_whole_life(ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]) -> None:
    cloud, a, b = scaled(), versions["a"].version, versions["b"].version
    steps = [str(step) for step in deploy(cloud, versions["a"]).steps]
    created = next(i for i, s in enumerate(steps) if s.startswith("create autoscale setting"))
    assert steps[created - 1].startswith("create deployment v")
    assert steps[created + 1].startswith("check golden request to deployment")
    assert instances(azure) == {a: 2}  # not fewer than the least
    assert not cloud.plan_deploy(versions["a"]).changes

    for one in azure.store.all(DEPLOYMENTS):
        one["sku"]["capacity"] = 5
    plan = deploy(cloud, versions["b"])
    assert "Autoscaling: 2 to 6 instances, 70 requests a minute each." in plan.summary.notes
    assert instances(azure) == {a: 5, b: 5}  # as many as ran
    assert limits(azure) == {a: ("2", "2"), b: ("2", "6")}  # what serves nobody costs the least
    autoscale.run(azure)
    assert instances(azure) == {a: 2, b: 5}
    assert not cloud.plan_deploy(versions["b"]).changes
    shown = [text for kind, _, text in cloud.status().resources if kind == "autoscale setting"]
    assert sorted(text.partition(";")[0] for text in shown) == [
        "2 instances, as it serves nobody",
        "2 to 6 instances, 70 requests a minute each",
    ]
    listed = [one for one in cloud.listed() if one.kind == "autoscale setting"]
    assert sorted(one.version for one in listed) == sorted([a, b])

    back = cloud.plan_rollback()
    assert "2 instances where 5 serve now; it is scaled out" in back.summary.notes[0]
    apply(back, cloud)
    assert limits(azure) == {a: ("2", "6"), b: ("2", "2")}
    names = [str(step) for step in back.steps]
    first = next(i for i, name in enumerate(names) if "autoscale" in name)
    assert names[first + 1].startswith("update traffic")

    deploy(cloud, versions["c"])
    assert set(limits(azure)) == {a, versions["c"].version}  # b's went with b
    apply(cloud.plan_delete(), cloud)
    assert not limits(azure)


def test_quota_that_its_most_instances_lack_is_a_note(
    ml: MachineLearning, quotas: Quotas, versions: dict[str, Bundle]
) -> None:
    quotas.limits[FAMILY], quotas.used[FAMILY] = 8, 0
    summary = scaled().plan_deploy(versions["a"]).summary
    assert not summary.shortage and summary.peak == "2 x Standard_F2s_v2"
    (said,) = (note for note in summary.notes if "cannot reach" in note)
    assert "6 x Standard_F2s_v2 needs 12 cores more, and" in said
    enough = scaled(max=4).plan_deploy(versions["a"]).summary
    assert not any("cannot reach" in note for note in enough.notes)


def test_a_failed_run_leaves_no_setting(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    cloud = scaled()
    deploy(cloud, versions["a"])
    before = limits(azure)
    spoil(ml, cloud, versions["b"])
    text = failure(WrongAnswer, cloud, versions["b"])
    assert "autoscale setting onnxferry-squad-v" in text
    assert limits(azure) == before
    failure(WrongAnswer, cloud, versions["b"], keep_failed=True)
    assert len(limits(azure)) == 2
    apply(cloud.plan_delete_unproved(), cloud)
    assert limits(azure) == before


def test_it_is_changed_taken_away_and_drift_is_seen(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(scaled(), versions["a"])
    deploy(scaled(), versions["b"])
    changes = deploy(scaled(max=9, min=1), versions["b"]).changes
    assert [(step.action.value, step.resource) for step in changes] == [
        ("update", "autoscale setting")
    ] * 2
    assert sorted(limits(azure).values()) == [("1", "1"), ("1", "9")]
    for one in azure.store.all(SETTINGS):
        if len(one["properties"]["profiles"][0]["rules"]):
            one["properties"]["enabled"] = False
    (drifted,) = scaled(max=9, min=1).plan_deploy(versions["b"]).changes
    assert str(drifted).startswith("update autoscale setting")
    deploy(connected(), versions["b"])
    assert not limits(azure)
    assert not connected().plan_deploy(versions["b"]).changes


def test_what_somebody_else_made_is_left_alone(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    (target,) = azure.store.all(DEPLOYMENTS)
    profile = {"name": "x", "capacity": {"minimum": "1", "maximum": "1", "default": "1"}}
    theirs = {"targetResourceUri": target["id"], "profiles": [{**profile, "rules": []}]}
    elsewhere = f"{GROUP.replace('/rg/', '/other/')}/theirs"
    azure.store.put(elsewhere, {"location": "westeurope", "properties": theirs})
    text = failure(Refused, scaled(), versions["a"])
    assert "has another, in whatever resource group, delete that" in text
    azure.store.delete(elsewhere)
    azure.store.put(f"{GROUP}/theirs", {"location": "westeurope", "properties": theirs})
    with pytest.raises(Refused, match="az monitor autoscale delete --resource-group rg --name the"):
        scaled().plan_deploy(versions["a"])
    assert not connected().plan_deploy(versions["a"]).changes
    azure.arm.denied.add(f"GET {SETTINGS}")  # who may not look, cannot know that
    assert not connected().plan_deploy(versions["a"]).changes
    with pytest.raises(NotAllowed, match="whether it has an autoscale setting is not known"):
        scaled().plan_deploy(versions["a"])
    azure.arm.denied.clear()
    deploy(scaled(), versions["b"])
    assert len(list(azure.store.all(SETTINGS))) == 2
    apply(scaled().plan_rollback(), scaled())
    apply(connected().plan_delete(), connected())
    (left,) = azure.store.all(SETTINGS)
    assert left["name"] == "theirs"


def test_orphans_are_swept_and_an_unmarked_one_is_not(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    cloud = scaled()
    deploy(cloud, versions["a"])
    deploy(cloud, versions["b"])
    gone = next(d for d in azure.store.all(DEPLOYMENTS) if versions["a"].version in d["name"])
    azure.store.delete(gone["id"])  # by somebody
    changes = cloud.plan_deploy(versions["b"]).changes
    (swept,) = (step for step in changes if step.resource == "autoscale setting")
    assert str(swept).startswith("delete") and gone["name"] in swept.name
    setting = next(s for s in azure.store.all(SETTINGS) if gone["name"] in s["name"])
    setting["tags"] = {}
    with pytest.raises(Refused, match="so it stays as it is"):
        cloud.execute(swept, lambda *_: None)


def test_a_shadow_that_is_kept_to_go_back_to_rests_when_its_copies_end(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    own: dict[str, Any] = {"scaling": SCALING, "capture": {}}
    for name in "ab":
        deploy(connected(**own), versions[name])
    cloud = connected(**own, rollout={"mirror": 20})
    deploy(cloud, versions["a"])
    a, b = versions["a"].version, versions["b"].version
    assert limits(azure) == {a: ("2", "6"), b: ("2", "6")}
    apply(cloud.plan_rollback(), cloud)
    assert limits(azure) == {a: ("2", "2"), b: ("2", "6")}
