"""Each call that changes something is lost, or is the last of its run. Whoever runs the same again
comes to the end that an undisturbed run comes to, and champion is always on a proved version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, WrongAnswer
from tests.infra.mlflow.conftest import deploy
from tests.infra.mlflow.world import Fault, Killed, World
from tests.infra.quiet import QuietReport

pytestmark = pytest.mark.faults
Run = Callable[[World], None]


def _roll_back(world: World) -> None:
    apply(world.cloud.plan_rollback(), world.cloud, QuietReport())


def _delete(world: World) -> None:
    apply(world.cloud.plan_delete(), world.cloud, QuietReport())


def _deploy(name: str) -> Run:
    return lambda world: [deploy(world.cloud, world.bundles[name])].clear()


def _fail(world: World) -> None:
    world.answers.wrong.add("c")
    with pytest.raises(WrongAnswer):
        deploy(world.cloud, world.bundles["c"])


@dataclass(frozen=True)
class Flow:
    """What is live before it, and what it does."""

    before: str
    run: Run


FLOWS = {
    "first deployment": Flow("", _deploy("a")),
    "update": Flow("ab", _deploy("c")),
    "update that fails": Flow("a", _fail),
    "roll back": Flow("ab", _roll_back),
    "delete": Flow("ab", _delete),
}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, versions: dict[str, Bundle]
) -> Iterator[World]:
    yield World(tmp_path_factory.mktemp("world"), empty_database, versions)


def undisturbed(world: World, name: str) -> tuple[object, list[str]]:
    """What the flow comes to, and its writes."""
    world.put_back(FLOWS[name].before)
    FLOWS[name].run(world)
    return world.reached(), world.client.writes


def disturbed(world: World, name: str, number: int, fault: Fault) -> None:
    world.put_back(FLOWS[name].before)
    world.client.at, world.client.fault = number, fault
    with suppress(Killed, CloudError):
        FLOWS[name].run(world)
    state = world.cloud._read()
    assert state.champion not in {version.number for version in state.unproved}
    assert state.champion or FLOWS[name].before == "" or name == "delete"
    world.client.at = -1


def converge(world: World, name: str, number: int, fault: Fault) -> None:
    disturbed(world, name, number, fault)
    goal, writes = undisturbed_goals[name]
    if name == "roll back" and world.reached() == goal:
        return  # and one more would go back again
    FLOWS[name].run(world)
    assert world.reached() == goal, (writes[number], fault)


undisturbed_goals: dict[str, tuple[object, list[str]]] = {}


def troubled(world: World, name: str, fault: Fault) -> None:
    if name not in undisturbed_goals:
        undisturbed_goals[name] = undisturbed(world, name)
    for number in range(len(undisturbed_goals[name][1])):
        converge(world, name, number, fault)


def test_killed_after_each_change_of_an_update(world: World) -> None:
    troubled(world, "update", Fault.KILLED)


@pytest.mark.worlds
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("fault", Fault)
def test_each_change_is_lost_or_is_the_last(world: World, name: str, fault: Fault) -> None:
    troubled(world, name, fault)
