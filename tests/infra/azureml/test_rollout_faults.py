"""Trouble in the middle of a roll-out: killed after each change, and each call refused. Traffic is
always all on versions that have proved themselves, and the same command again goes on.

A normal run tries one of each; the rest are a long series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.azureml.names import COMING
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotHealthy
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed
from tests.fakes.azure.permissions import Permission
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.rollouts import Clients, always_right, connected, name_of, tags
from tests.infra.azureml.world import World
from tests.infra.azureml.world import world as a_world
from tests.infra.quiet import QuietReport

pytestmark = [
    pytest.mark.faults,
    # a run may be killed in the thread in which azure-core waits for an operation
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
_CHANGE = ("PUT", "PATCH", "DELETE")
_MOST = 20  # changes of a flow
_PARTS = 80


def _comes(world: World, cloud: AzureMLCloud) -> None:
    deploy(cloud, world.bundles["c"])


def _fails(world: World, cloud: AzureMLCloud) -> None:
    def at(traffic: dict[str, int]) -> None:
        if 80 in traffic.values() and (c := name_of(world, "c")) in traffic:
            world.ml.statuses[c] = 503

    with pytest.raises(NotHealthy):
        deploy(_cloud(world, at), world.bundles["c"])


def _taken_back(world: World, cloud: AzureMLCloud) -> None:
    apply(cloud.plan_delete_unproved(), cloud, QuietReport())


Flow = Callable[[World, AzureMLCloud], None]
FLOWS: dict[str, Flow] = {"comes": _comes, "fails": _fails, "taken back": _taken_back}


def _cloud(world: World, at: Callable[[dict[str, int]], None] = lambda traffic: None) -> Any:
    clients = Clients(world, at=at)
    rollout: dict[str, Any] = {"traffic": "linear", "step_percent": 40, "wait_seconds": 60}
    return connected(clients, **rollout, keep_previous=False)


def _is_another(world: World, number: int, permission: Permission) -> bool:
    """Whether the call under way is not the one of that number."""
    return world.azure.calls[-1].number != number


class Recorded:
    """What each flow's changes are in a world that nothing disturbs, and what it comes to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.states = {"": world.states["ab"], "half": self._half()}
        self.changes: dict[str, list[int]] = {}
        self.calls: dict[str, int] = {}
        self.goals: dict[str, Any] = {}

    def _half(self) -> Any:
        world = self.world
        world.put_back(world.states["ab"])

        def at(traffic: dict[str, int]) -> None:
            if 80 in traffic.values() and name_of(world, "c") in traffic:
                raise KeyboardInterrupt

        with suppress(CloudError):
            deploy(_cloud(world, at), world.bundles["c"])
        return world.copy()

    def begin(self, flow: str) -> None:
        self.world.put_back(self.states["half" if flow == "taken back" else ""])

    def run(self, flow: str) -> None:
        FLOWS[flow](self.world, _cloud(self.world))

    def record(self, flow: str) -> None:
        if flow not in self.goals:
            self.begin(flow)
            self.run(flow)
            calls = self.world.azure.calls
            self.changes[flow] = [n for n, c in enumerate(calls) if c.method in _CHANGE]
            self.calls[flow] = len(calls)
            self.goals[flow] = self.world.reached()

    def arrived(self, flow: str) -> None:
        (there, *rest), (wanted, *others) = self.world.reached(), self.goals[flow]
        assert [one for one in there if one not in wanted] == []
        assert [one for one in wanted if one not in there] == []
        assert rest == others
        assert not tags(self.world)[COMING]
        always_right(self.world)


@pytest.fixture(scope="module")
def recorded(versions: dict[str, Bundle]) -> Iterator[Recorded]:
    with a_world(versions) as found:
        yield Recorded(found)


def _series(sample: set[tuple[str, int]], most: int) -> list[Any]:
    return [
        pytest.param(flow, n, marks=[] if (flow, n) in sample else [pytest.mark.series])
        for flow in FLOWS
        for n in range(most)
    ]


@pytest.mark.parametrize(("flow", "change"), _series({("comes", 6), ("taken back", 0)}, _MOST))
def test_killed_after_a_change(recorded: Recorded, flow: str, change: int) -> None:
    recorded.record(flow)
    changes, world = recorded.changes[flow], recorded.world
    assert len(changes) <= _MOST
    if change >= len(changes):
        return
    recorded.begin(flow)
    number, faults = changes[change], world.azure.faults
    faults.deaths = set(range(number, number + 500))
    faults.at = dict.fromkeys(range(number + 1, number + 500), Fault.DROPPED_BEFORE)
    with suppress(Killed, CloudError):
        recorded.run(flow)
    faults.deaths, faults.at = set(), {}
    world.ml.statuses.clear()
    recorded.run(flow)
    recorded.arrived(flow)


@pytest.mark.parametrize(("flow", "part"), _series({("comes", 60)}, _PARTS))
def test_a_call_is_refused(recorded: Recorded, flow: str, part: int) -> None:
    """Each call once, a part of them in each case; what is refused for good ends the run."""
    recorded.record(flow)
    world = recorded.world
    for number in range(part, recorded.calls[flow], _PARTS):
        recorded.begin(flow)
        world.azure.authorizer.allows = partial(_is_another, world, number)
        with suppress(CloudError, pytest.fail.Exception):
            recorded.run(flow)
        world.azure.authorizer.allows = lambda permission: True
        always_right(world)
        world.ml.statuses.clear()
        if world.reached() != recorded.goals[flow]:
            recorded.run(flow)
        recorded.arrived(flow)
