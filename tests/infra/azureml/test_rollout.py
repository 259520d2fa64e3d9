"""A version takes over in steps, each watched in Azure Monitor; what fails gives the traffic
back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from onnxferry.infra.apply import Interrupted, apply
from onnxferry.infra.azureml.names import COMING, PREVIOUS, VERSION
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotAllowed, NotHealthy, Refused
from onnxferry.infra.plan import Action
from onnxferry.scripts.rehearse import record
from tests.fakes.azure.providers.machinelearning import ENDPOINTS
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.rollouts import Clients, always_right, connected, name_of, shares, tags
from tests.infra.azureml.world import World
from tests.infra.azureml.world import world as a_world
from tests.infra.quiet import QuietReport

LINEAR: dict[str, Any] = {"traffic": "linear", "step_percent": 40}
CANARY: dict[str, Any] = {"traffic": "canary", "step_percent": 10}


@pytest.fixture(scope="module")
def worlds(versions: dict[str, Bundle]) -> Iterator[World]:
    with a_world(versions) as found:
        yield found


@pytest.fixture
def world(worlds: World) -> World:
    """With "a" then "b" deployed."""
    worlds.put_back(worlds.states["ab"])
    worlds.ml.history.clear()
    worlds.ml.monitor.lag = 100
    return worlds


def failing(world: World, **facts: Any) -> Clients:
    """Clients to whom "c" answers so, once it has traffic: `statuses` or `latency`."""

    def at(traffic: dict[str, int]) -> None:
        if (name := name_of(world, "c")) in traffic:
            for what, value in facts.items():
                getattr(world.ml, what)[name] = value

    return Clients(world, at=at)


def cut_off(world: World, share: int, **options: Any) -> None:
    """A run that deploys "c" until it has that share, and is interrupted while it watches."""

    def at(traffic: dict[str, int]) -> None:
        if traffic.get(name_of(world, "c")) == share:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        deploy(connected(Clients(world, at=at), **{**LINEAR, **options}), world.bundles["c"])
    world.ml.monitor.scored.clear()


def test_it_takes_over_step_by_step(world: World) -> None:
    clients = Clients(world)
    cloud = connected(clients, **LINEAR)
    plan = deploy(cloud, world.bundles["c"])
    b, c = name_of(world, "b"), name_of(world, "c")
    assert shares(world, "bc") == [{"b": 60, "c": 40}, {"b": 20, "c": 80}, {"c": 100}]
    of_steps = [
        str(step) for step in plan.steps if "traffic" in str(step) or "request" in str(step)
    ]
    assert of_steps == [
        f"check golden request to deployment {c}",
        "update 40 % of traffic of endpoint squad",
        f"check requests at 40 % to deployment {c}",
        "update 80 % of traffic of endpoint squad",
        f"check requests at 80 % to deployment {c}",
        "update traffic of endpoint squad",
        f"check requests at 100 % to deployment {c}",
        "check golden request to endpoint squad",
    ]
    (note,) = (one for one in plan.summary.notes if "watched" in one)
    assert "300 s at 40 %, 80 %, 100 % of the traffic, 8 minutes each" in note
    assert plan.summary.minutes == (8 + 24, 20 + 24)
    assert clients.waited == 3 * (300 + 180)
    assert [sum(one.get(c) == share for one in clients.moments) for share in (40, 80, 100)] == [
        8
    ] * 3
    asked = [one.deployment for one in world.ml.monitor.scored if one.status == 200]
    assert asked.count(b) / len(asked) == pytest.approx(80 / 300, abs=0.02)
    assert tags(world) == {VERSION: world.bundles["c"].version, PREVIOUS: b, COMING: ""}
    always_right(world)
    assert not cloud.plan_deploy(world.bundles["c"]).changes


def test_too_many_errors_give_the_traffic_back_at_once(world: World) -> None:
    before, there = tags(world), name_of(world, "b")
    clients = failing(world, statuses=500)
    with pytest.raises(NotHealthy) as caught:
        deploy(connected(clients, **CANARY), world.bundles["c"])
    text = str(caught.value)
    assert "at 10 % of endpoint squad of workspace work: 6 of 6 requests failed" in text
    assert "(100.0%; limit 1 %)" in text
    assert "raise error_percent or latency_factor" in text
    assert "[inference-server]" in text
    assert "The earlier version serves again" in text
    assert "Removed what was not proved: deployment v" in text
    assert clients.waited < 480  # as soon as it was clear
    assert shares(world, "bc") == [{"b": 90, "c": 10}, {"b": 100}]  # back in one request
    assert tags(world) == {**before, PREVIOUS: ""}  # "a" made room
    assert not name_of(world, "c")
    assert name_of(world, "b") == there
    always_right(world)


def test_what_is_slower_than_what_serves_is_taken_back(world: World) -> None:
    clients = failing(world, latency=150.0)
    with pytest.raises(NotHealthy, match=r"p95 latency is 150 ms \(limit 100 ms\)"):
        deploy(connected(clients, **LINEAR), world.bundles["c"])
    assert clients.waited == 480
    assert shares(world, "bc") == [{"b": 60, "c": 40}, {"b": 100}]


def test_the_rehearsals_latency_counts_where_it_is_longer(world: World) -> None:
    bundle = world.bundles["c"]
    figures = dict.fromkeys(("start_seconds", "latency_p50_ms", "cpu_ms", "memory_mib"), 1.0)
    own = {"sha256": bundle.package.sha256, "python": "", "runtime": "", "machine": "", "cpus": 2}
    found = record.RehearsalRecord(**own, **figures, latency_p95_ms=40.0)  # type: ignore[arg-type]
    file = bundle.package.path.parent / record.FILE
    file.write_text(json.dumps(asdict(found)))
    try:
        plan = deploy(connected(failing(world, latency=150.0), **CANARY), bundle)
    finally:
        file.unlink()
    assert "over 5 times the rehearsal's 40 ms or that of the version" in plan.summary.notes[-1]
    assert shares(world, "bc") == [{"b": 90, "c": 10}, {"c": 100}]


def test_it_is_watched_once_it_has_all_traffic_by_default(world: World) -> None:
    before = tags(world)
    with pytest.raises(NotHealthy, match=r"at 100 % of endpoint squad.*requests failed"):
        deploy(connected(failing(world, statuses=429)), world.bundles["c"])
    assert shares(world, "bc") == [{"c": 100}, {"b": 100}]
    assert tags(world) == {**before, PREVIOUS: ""}


def test_nobody_asks_and_it_goes_on_and_says_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(connected(Clients(world, each=0), **CANARY), world.bundles["c"])
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("no requests came, so all that is known is its golden answer") == 2
    assert shares(world, "bc")[-1] == {"c": 100}


def test_metrics_that_may_not_be_read_are_told_before_anything_is_moved(world: World) -> None:
    world.azure.arm.denied.add("GET Microsoft.Insights/metrics")
    world.azure.restart_counting()
    try:
        with pytest.raises(
            NotAllowed, match=r"need the permission Microsoft\.Insights/metrics/rea"
        ):
            connected(Clients(world), **CANARY).plan_deploy(world.bundles["c"])
        assert {call.method for call in world.azure.calls} <= {"GET", "POST"}
        clients = Clients(world)
        plan = deploy(connected(clients, **CANARY, checks=False), world.bundles["c"])
    finally:
        world.azure.arm.denied.clear()
    assert "waits 300 s at 10 %; nothing watches it" in plan.summary.notes[-1]
    assert clients.waited == 300
    assert shares(world, "bc") == [{"b": 90, "c": 10}, {"c": 100}]
    assert tags(world)[COMING] == ""


def test_a_first_deployment_waits_for_nothing(world: World) -> None:
    world.put_back(world.states[""])
    clients = Clients(world)
    plan = deploy(connected(clients, **LINEAR), world.bundles["a"])
    assert not clients.waited
    assert shares(world, "a") == [{"a": 100}]
    assert plan.summary.minutes == (8, 20)


@pytest.mark.parametrize(("share", "rest"), [(40, [80, 100]), (100, [])])
def test_a_run_that_is_cut_off_is_gone_on_with(world: World, share: int, rest: list[int]) -> None:
    cut_off(world, share, keep_previous=False)
    b, c, known = name_of(world, "b"), name_of(world, "c"), len(world.ml.history)
    assert tags(world)[COMING] == c
    status = connected(Clients(world)).status()
    assert status.details["rolling out"] == f"{world.bundles['c'].version} at {share} %, not ended"
    clients = Clients(world)
    cloud = connected(clients, keep_previous=False, **LINEAR)
    with pytest.raises(Refused, match=rf"it has {share} % of the traffic. Deploy that version"):
        cloud.plan_deploy(world.bundles["a"])
    plan = deploy(cloud, world.bundles["c"])
    assert plan.summary.replaces == world.bundles["b"].version
    assert [one["c"] for one in shares(world, "bc", known)] == rest
    assert clients.moments[0][c] == share  # it is watched there first
    assert tags(world) == {VERSION: world.bundles["c"].version, PREVIOUS: "", COMING: ""}
    assert not name_of(world, "b")
    assert str(plan.steps[-1]).endswith(b) or any(
        step.action is Action.DELETE and step.name == b for step in plan.steps
    )
    always_right(world)


@pytest.mark.parametrize("share", [40, 100])
@pytest.mark.parametrize("how", ["rollback", "delete unproved", "fail"])
def test_a_run_that_is_cut_off_is_taken_back(world: World, share: int, how: str) -> None:
    cut_off(world, share)
    cloud = connected(Clients(world), **LINEAR)
    known = len(world.ml.history)
    if how == "rollback":
        plan = cloud.plan_rollback()
        assert "stays (billed by the hour), without traffic" in plan.summary.notes[0]
        apply(plan, cloud, QuietReport())
    elif how == "delete unproved":
        apply(cloud.plan_delete_unproved(), cloud, QuietReport())
    else:
        with pytest.raises(NotHealthy, match="Removed what was not proved: deployment v"):
            deploy(connected(failing(world, statuses=503), **LINEAR), world.bundles["c"])
    assert shares(world, "bc", known) == [{"b": 100}]
    found = tags(world)
    assert (found[VERSION], found[COMING]) == (world.bundles["b"].version, "")
    assert found[PREVIOUS] != name_of(world, "c") or not found[PREVIOUS]
    assert bool(name_of(world, "c")) == (how == "rollback")
    assert cloud.status().version == world.bundles["b"].version
    always_right(world)


def test_what_somebody_else_moves_meanwhile_stays(world: World) -> None:
    def at(traffic: dict[str, int]) -> None:
        if (c := name_of(world, "c")) in traffic:
            (found,) = world.azure.store.all(ENDPOINTS)
            found["properties"]["traffic"] = {name_of(world, "b"): 95, c: 5}

    with pytest.raises(Refused, match=r"it is 95 % to v\S+, 5 % to v\S+ now"):
        deploy(connected(Clients(world, at=at), **CANARY), world.bundles["c"])
    (found,) = world.azure.store.all(ENDPOINTS)
    assert set(found["properties"]["traffic"].values()) == {95, 5}
