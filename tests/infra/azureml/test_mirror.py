"""A new version with a copy of the traffic: what serves goes on serving, and the new one takes
over, or goes away again, when somebody says so."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import PREVIOUS, VERSION
from onnxferry.infra.azureml.names import SHADOW as SHADOW_TAG
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, Refused, WrongAnswer
from onnxferry.infra.plan import Plan
from onnxferry.infra.plan_text import plan_text
from onnxferry.system.errors import UsageError
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.mirrored import SHADOW, MirrorWorld, mirror_world
from tests.infra.azureml.test_flow import ASK
from tests.infra.quiet import QuietReport


@pytest.fixture(scope="module")
def built(
    versions: dict[str, Bundle], keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None]
) -> Iterator[MirrorWorld]:
    with mirror_world(versions) as found:
        yield found
        keep_bodies(found.azure.arm.puts)


@pytest.fixture
def world(built: MirrorWorld) -> MirrorWorld:
    built.put_back(built.states["abc"])
    return built


def changed(plan: Plan) -> list[str]:
    return [f"{step.action.value} {step.resource}" for step in plan.changes]


def carry_out(plan: Plan, cloud: OnlineEndpoint) -> Plan:
    apply(plan, cloud, QuietReport())
    return plan


def names(world: MirrorWorld, which: str) -> dict[str, str]:
    """The deployments of versions "a", "b", "c" that are there."""
    there = world.deployments()
    found = {v: [n for n in there if world.bundles[v].version in n] for v in which}
    return {v: n for v, (n,) in found.items()}


def test_what_serves_goes_on_serving_and_the_new_version_gets_its_part(world: MirrorWorld) -> None:
    there, (two, three) = names(world, "abc"), (world.bundles[v].version for v in "bc")
    assert world.endpoint["traffic"] == {there["b"]: 100}
    assert world.endpoint["mirrorTraffic"] == {there["c"]: 50}
    tags = world.endpoint["tags"]
    assert (tags[VERSION], tags[PREVIOUS], tags[SHADOW_TAG]) == (two, there["a"], there["c"])
    status = world.cloud.status()
    assert (status.version, status.previous) == (two, two)  # what a roll-back goes to
    assert status.details["shadow"] == (
        f"{three} gets a copy of 50 % of the requests, on 1 x Standard_F2s_v2"
    )
    (row,) = [row for row in status.resources if row[1] == there["c"]]
    assert row[2].endswith("gets a copy of traffic, billed by the hour")
    again = world.cloud.plan_deploy(world.bundles["c"])
    assert again.changes == ()
    assert f"Version {two} goes on serving" in plan_text(again)
    for _ in range(4):
        assert world.cloud.invoke(ASK, 60).served_by == there["b"]
    collections = world.ml.collector.waiting.items()
    copies = {name.split("/")[2]: len(r) for name, r in collections if "/response/" in name}
    assert copies == {there["b"]: 4, there["c"]: 2}


def test_the_new_version_proves_itself_before_it_gets_a_copy(world: MirrorWorld) -> None:
    world.put_back(world.states["ab"])
    plan = world.cloud.plan_deploy(world.bundles["c"])
    text = plan_text(plan)
    live, new = (world.bundles[v].version for v in "bc")
    assert f"Version {live} goes on serving on 1 x Standard_F2s_v2." in text
    assert f"{new} gets a copy of 50 % of the requests as a shadow" in text
    assert "At most 3 x Standard_F2s_v2 run at a time meanwhile." in text
    world.ml.answers[world.model_of["c"]] = b'{"answer": "Bob"}'
    with pytest.raises(WrongAnswer, match="Removed what was not proved: deployment"):
        carry_out(plan, world.cloud)
    world.ml.answers.clear()
    assert world.endpoint["mirrorTraffic"] == {}


def test_an_endpoint_that_takes_no_copies_is_left_as_it_was(world: MirrorWorld) -> None:
    world.put_back(world.states["ab"])
    before = world.endpoint
    world.azure.arm.failures[ENDPOINTS.lower()] = ("InternalServerError", "not now")
    with pytest.raises(CloudError, match="not now"):
        deploy(world.cloud, world.bundles["c"])
    assert {**world.endpoint, "tags": before["tags"]} == before
    assert len(world.deployments()) == 2
    deploy(world.cloud, world.bundles["c"])
    assert world.cloud.status().details["shadow"]


def test_it_takes_over_without_being_made_again(world: MirrorWorld) -> None:
    there = names(world, "abc")
    plan = carry_out(world.live.plan_deploy(world.bundles["c"]), world.live)
    assert changed(plan) == [
        "delete deployment",  # the one before what serves
        "update mirrored traffic of endpoint",
        "update traffic of endpoint",
        "update tags of endpoint",
        "delete model",
        "delete files",
    ]
    assert plan.steps[-1].name.endswith(" unused)")  # the others stay
    assert world.endpoint["traffic"] == {there["c"]: 100}
    assert world.endpoint["mirrorTraffic"] == {}
    status = world.live.status()
    found = (status.version, status.previous)
    assert found == (world.bundles["c"].version, world.bundles["b"].version)
    assert "shadow" not in status.details
    assert SHADOW_TAG not in world.endpoint["tags"]
    assert world.deployments() == sorted([there["b"], there["c"]])


def test_one_that_does_not_take_over_is_the_shadow_again(world: MirrorWorld) -> None:
    before = copy.deepcopy(world.endpoint)
    del before["tags"][PREVIOUS]  # what served before has made room
    plan = world.live.plan_deploy(world.bundles["c"])
    (check,) = [step for step in plan.steps if step.proves]
    world.ml.answers[world.model_of["c"]] = b'{"answer": "Bob"}'
    steps = [one for one in plan.steps if one.operation != "smoke" or one is check]
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        carry_out(Plan(plan.target, plan.purpose, plan.name, tuple(steps)), world.live)
    kept = {key: value for key, value in before["tags"].items() if key != PREVIOUS}
    assert world.endpoint == {**before, "tags": kept}  # what served before it made room


def test_another_part_and_a_third_version_are_changes(world: MirrorWorld) -> None:
    there = names(world, "abc")
    less = world.connected(rollout={"mirror": 20})
    assert changed(carry_out(less.plan_deploy(world.bundles["c"]), less)) == [
        "update mirrored traffic of endpoint"
    ]
    assert world.endpoint["mirrorTraffic"] == {there["c"]: 20}
    deploy(world.cloud, world.bundles["a"])  # the one of before, beside what serves
    assert world.endpoint["mirrorTraffic"] == {there["a"]: 50}
    assert world.deployments() == sorted([there["a"], there["b"]])
    carry_out(world.cloud.plan_rollback(), world.cloud)
    assert world.endpoint["mirrorTraffic"] == {}
    assert world.endpoint["tags"][PREVIOUS] == there["a"]  # which has served, and stays
    assert world.deployments() == sorted([there["a"], there["b"]])


@pytest.mark.parametrize("way", ["rollback", "unproved", "serving"])
def test_it_goes_away(world: MirrorWorld, way: str) -> None:
    there = names(world, "abc")
    plans: dict[str, Callable[[], Plan]] = {
        "rollback": world.cloud.plan_rollback,
        "unproved": world.cloud.plan_delete_unproved,
        "serving": lambda: world.cloud.plan_deploy(world.bundles["b"]),
    }
    carry_out(plans[way](), world.cloud)
    status = world.cloud.status()
    found = (status.version, status.previous)
    if way != "serving":
        assert found == (world.bundles["b"].version, world.bundles["a"].version)
    assert "shadow" not in status.details
    assert world.deployments() == sorted([there["a"], there["b"]])
    carry_out(world.cloud.plan_delete_unproved(), world.cloud)
    assert world.reached() == _without_shadow(world)


def _without_shadow(world: MirrorWorld) -> Any:
    """How it was before the shadow came; what captures its requests was registered since."""
    found, (resources, blobs, routed) = world.reached(), _reached(world, "ab")
    captured = [one for one in found[0] if one not in resources]
    assert all("/data/squad-" in one[0] for one in captured)
    return sorted([*resources, *captured]), blobs, routed


def _reached(world: MirrorWorld, state: str) -> Any:
    now = world.copy()
    world.put_back(world.states[state])
    found = world.reached()
    world.put_back(now)
    return copy.deepcopy(found)


def test_deletion_takes_the_shadow_along(world: MirrorWorld) -> None:
    plan = world.cloud.plan_delete()
    said = "What was captured in datastore workspaceblobstore, modelDataCollector/squad/ stays"
    assert said in plan_text(plan)
    carry_out(plan, world.cloud)
    assert world.deployments() == []
    world.put_back(world.states["abc"])
    theirs = copy.deepcopy(next(world.azure.store.all(DEPLOYMENTS)))
    world.azure.store.put(theirs["id"].replace(theirs["name"], "theirs"), {**theirs, "tags": {}})
    carry_out(world.cloud.plan_delete(), world.cloud)
    assert world.deployments() == ["theirs"]
    assert world.endpoint["mirrorTraffic"] == {}


def test_the_first_version_takes_all_requests_and_no_version_is_its_own_shadow(
    world: MirrorWorld,
) -> None:
    world.put_back(world.states[""])
    plan = world.cloud.plan_deploy(world.bundles["a"])
    assert any("Nothing serves yet" in note for note in plan.summary.notes)
    carry_out(plan, world.cloud)
    assert "shadow" not in world.cloud.status().details
    half = world.connected(capture={"percent": 50}, **SHADOW)
    plan = half.plan_deploy(world.bundles["a"])
    assert "update traffic of endpoint" in changed(plan)
    assert "update mirrored traffic of endpoint" not in changed(plan)


def test_what_can_have_no_shadow_is_told(world: MirrorWorld) -> None:
    world.put_back(world.states["ab"])
    there, (endpoint,) = names(world, "ab"), world.azure.store.all(ENDPOINTS)
    endpoint["properties"]["mirrorTraffic"] = {there["a"]: 10}
    with pytest.raises(Refused, match=r"gets a copy of its traffic, which onnxferry did not ask"):
        world.cloud.plan_deploy(world.bundles["c"])
    endpoint["properties"]["mirrorTraffic"] = {}
    serving = world.azure.store.get(f"{endpoint['id']}/deployments/{there['b']}")
    assert serving
    serving["properties"].pop("dataCollector")
    with pytest.raises(UsageError, match=r"does not capture its answers.*rollout\.mirror=0"):
        world.cloud.plan_deploy(world.bundles["c"])
    deploy(world.cloud, world.bundles["b"])  # as it is said: its own version again


@pytest.mark.parametrize(
    ("mirror", "says"),
    [
        ({"c": 51}, "at most 50"),
        ({"a": 10, "c": 10}, "one deployment only"),
        ({"b": 10}, "not both"),
        ({"nobody": 10}, "not there"),
    ],
)
def test_what_azure_does_not_take(world: MirrorWorld, mirror: dict[str, int], says: str) -> None:
    there = {**names(world, "abc"), "nobody": "nobody"}
    endpoints = world.cloud.clients.endpoints  # type: ignore[attr-defined]
    wanted, seen = {there[v]: n for v, n in mirror.items()}, world.endpoint["traffic"]
    with pytest.raises(CloudError, match=says):
        endpoints.mirror_traffic("squad", wanted, {}, seen, lambda state: None)
    with pytest.raises(Refused, match="somebody else has moved it"):
        endpoints.mirror_traffic("squad", {}, {}, {there["a"]: 100}, lambda state: None)
    assert world.endpoint["mirrorTraffic"] == {there["c"]: 50}


def test_what_takes_copies_takes_no_live_traffic(world: MirrorWorld) -> None:
    there = names(world, "abc")
    shift = world.cloud.clients.endpoints.shift_traffic  # type: ignore[attr-defined]
    with pytest.raises(CloudError, match="not both"):
        shift("squad", {there["c"]: 100}, {}, None, lambda state: None)
    with pytest.raises(CloudError, match="it cannot be deleted"):
        world.cloud.clients.endpoints.delete_deployment("squad", there["c"], lambda state: None)  # type: ignore[attr-defined]
