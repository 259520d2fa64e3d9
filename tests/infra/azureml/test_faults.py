"""Trouble at every call of every flow: a new run converges, and what serves goes on serving
throughout.

A flow's calls are recorded once. Refusals and broken connections hit every call, but not its
repetition, all in one run: the SDKs try each again by themselves. A killed process is a process of
its own, killed right after a call: after each that is not a GET of a resource, for a call that only
reads leaves the cloud as the call before it did.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import ROLLING
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError
from tests.fakes.azure import AzureFake, Call
from tests.fakes.azure.faults import Fault, Faults
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import connected, deploy
from tests.infra.forking import killed

pytestmark = pytest.mark.faults


def _roll_back(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_rollback(), cloud)


def _delete(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_delete(), cloud)


def _deploy(name: str) -> Callable[[OnlineEndpoint, dict[str, Bundle]], None]:
    return lambda cloud, bundles: [deploy(cloud, bundles[name])].clear()


@dataclass(frozen=True)
class Flow:
    """What is live before it, what it does, and after how many of its calls it is killed."""

    before: str
    run: Callable[[OnlineEndpoint, dict[str, Bundle]], None]
    kills: int


FLOWS = {
    "first deployment": Flow("", _deploy("a"), 23),
    "update": Flow("ab", _deploy("c"), 19),
    "roll back": Flow("ab", _roll_back, 13),
    "delete": Flow("ab", _delete, 17),
}


class World:
    """One fake for all of these tests; `put_back` gives it the state that a flow begins with."""

    def __init__(self, azure: AzureFake, bundles: dict[str, Bundle]) -> None:
        self.azure, self.ml = azure, MachineLearning(azure)
        self.ml.workspace()
        self.bundles = {name: _slim(bundle) for name, bundle in bundles.items()}
        self.cloud = connected()
        azure.operations.polls = 1
        self._states: dict[str, Any] = {"": self._copy()}
        for upto in ("a", "ab"):
            deploy(self.cloud, self.bundles[upto[-1]])
            self._states[upto] = self._copy()
        self.calls: dict[str, list[Call]] = {}
        self.goals: dict[str, Any] = {}

    def _parts(self) -> tuple[Any, ...]:
        ml, store = self.ml, self.azure.store
        return store._resources, self.azure.blobs.accounts, ml.history, ml.proved, ml.routed

    def _copy(self) -> tuple[Any, ...]:
        return copy.deepcopy(self._parts())

    def put_back(self, state: str) -> None:
        self.azure.operations.forget()
        for part, kept in zip(self._parts(), copy.deepcopy(self._states[state]), strict=True):
            part.clear()
            part.extend(kept) if isinstance(part, list) else part.update(kept)
        self.azure.restart_counting()

    def record(self, name: str) -> list[Call]:
        """The calls of a flow that nothing disturbs, and in `goals` what it comes to."""
        if name not in self.calls:
            self.put_back(FLOWS[name].before)
            FLOWS[name].run(connected(), self.bundles)
            self.calls[name] = list(self.azure.calls)
            self.goals[name] = self.reached()
        return self.calls[name]

    def reached(self) -> Any:
        """What an endpoint's owner sees: all that is there, how it is, and what serves."""
        found = [
            (
                r["id"].lower(),
                (r.get("properties") or {}).get("provisioningState", ""),
                sorted((r.get("tags") or {}).items()),
            )
            for r in self.azure.store._resources.values()
        ]
        return sorted(found), self.azure.blobs.names("wsstore", "azureml-blobstore"), self.ml.routed

    def is_rolled_back(self) -> bool:
        """Whether the last change of a roll-back has been made."""
        (endpoint,) = self.azure.store.all(ENDPOINTS)
        self.check(FLOWS["roll back"])
        return self.ml.routed == self.goals["roll back"][2] and ROLLING not in endpoint["tags"]

    def check(self, flow: Flow) -> None:
        """What serves was proved before, and there was no moment without, unless it was to be
        deleted."""
        for served in self.ml.history:
            assert set(served.traffic) <= served.proved
        if flow.run is not _delete:
            assert all(served.traffic for served in self.ml.history)

    def converge(self, name: str) -> None:
        """Run the flow until it comes to its end; one more run than it was disturbed must do."""
        for last in (False, False, True):
            try:
                FLOWS[name].run(self.cloud, self.bundles)
                break
            except CloudError:
                if last:
                    raise
        assert self.reached() == self.goals[name]
        self.check(FLOWS[name])


def _slim(bundle: Bundle) -> Bundle:
    """With one file of code, so that there are fewer calls that are all alike."""
    package = bundle.package
    members = tuple(
        m for m in package.members if m.path.startswith("model/") or m.path == "code/score.py"
    )
    return replace(bundle, package=replace(package, members=members))


@pytest.fixture(scope="module")
def world(
    versions: dict[str, Bundle], keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None]
) -> Iterator[World]:
    with AzureFake() as fake, fake.reachable():
        fake.arm.add(*resources.TYPES)
        yield World(fake, versions)
        keep_bodies(fake.arm.puts)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize(
    "fault", [Fault.THROTTLED, Fault.BROKEN, Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER]
)
def test_each_call_fails_and_then_does_not(world: World, name: str, fault: Fault) -> None:
    world.record(name)
    world.put_back(FLOWS[name].before)
    world.azure.faults.every = fault
    try:
        FLOWS[name].run(world.cloud, world.bundles)
    finally:
        world.azure.faults = Faults()
    assert world.reached() == world.goals[name]
    world.check(FLOWS[name])


def killed_at(world: World, name: str, number: int) -> bool:
    """Run the flow in a child that is killed when the call of that number has been handled; whether
    it was."""
    world.azure.faults.at = {number: Fault.KILLED}
    was = killed(lambda: FLOWS[name].run(connected(), world.bundles), world.azure.faults)
    world.azure.faults.at = {}
    return was


def telling(calls: list[Call]) -> list[int]:
    """The numbers of the calls that change something, or by which an operation goes on."""
    return [call.number for call in calls if call.method != "GET" or "/operations/" in call.path]


@pytest.mark.parametrize(
    ("name", "turn"), [(name, i) for name, flow in FLOWS.items() for i in range(flow.kills)]
)
def test_killed_after_a_call(world: World, name: str, turn: int) -> None:
    numbers = telling(world.record(name))
    if turn >= len(numbers):
        pytest.skip("this time an operation ended sooner")
    world.put_back(FLOWS[name].before)
    assert killed_at(world, name, numbers[turn]), world.calls[name][numbers[turn]]
    if name == "roll back" and world.is_rolled_back():
        return  # and one more would go back again
    world.converge(name)


def test_killed_after_all_of_them(world: World) -> None:
    counts = {name: len(telling(world.record(name))) for name in FLOWS}
    assert counts == {name: flow.kills for name, flow in FLOWS.items()}
