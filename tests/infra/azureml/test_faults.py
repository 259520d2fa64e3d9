"""Trouble at every call of every flow: a new run converges, and what serves goes on serving
throughout.

A flow's calls are recorded once. Refusals and broken connections hit every call, but not its
repetition, all in one run: the SDKs try each again by themselves. A run is killed right after each
call that changes something, for one that only reads leaves the cloud as the call before it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import ROLLING
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError, WrongAnswer
from onnxferry.infra.execution import Consent, execute
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed
from tests.fakes.azure.providers.machinelearning import ENDPOINTS
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.world import World
from tests.infra.azureml.world import world as a_world
from tests.infra.quiet import QuietReport

pytestmark = [
    pytest.mark.faults,
    # a run may be killed in the thread in which azure-core waits for an operation
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
Run = Callable[[OnlineEndpoint, dict[str, Bundle]], None]


def _roll_back(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_rollback(), cloud, QuietReport())


def _delete(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_delete(), cloud, QuietReport())


def _delete_unproved(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    with suppress(WrongAnswer):
        deploy(cloud, bundles["c"], keep_failed=True)
    apply(cloud.plan_delete_unproved(), cloud, QuietReport())


def _deploy(name: str) -> Run:
    return lambda cloud, bundles: [deploy(cloud, bundles[name])].clear()


def _fail(name: str) -> Run:
    def run(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
        with pytest.raises(WrongAnswer):
            deploy(cloud, bundles[name])

    return run


@dataclass(frozen=True)
class Flow:
    """What is live before it, what it does, and which version gives a wrong answer meanwhile."""

    before: str
    run: Run
    wrong: str = ""


FLOWS = {
    "first deployment": Flow("", _deploy("a")),
    "first deployment that fails": Flow("", _fail("a"), "a"),
    "update": Flow("ab", _deploy("c")),
    "update that fails": Flow("ab", _fail("c"), "c"),
    "roll back": Flow("ab", _roll_back),
    "delete": Flow("ab", _delete),
    "delete what is unproved": Flow("a", _delete_unproved, "c"),
}
_CHANGE = ("PUT", "PATCH", "DELETE")
REFUSALS = [
    Fault.THROTTLED,
    Fault.BROKEN,
    Fault.DROPPED_BEFORE,
    Fault.DROPPED_AFTER,
    Fault.SLOW,
    Fault.EXPIRED,
]


class Flows:
    """What each flow's calls are in a world that nothing disturbs, and what it comes to."""

    def __init__(self, world: World, flows: Mapping[str, Flow]) -> None:
        self.world, self.flows = world, flows
        self.changes: dict[str, list[int]] = {}
        self.goals: dict[str, Any] = {}

    def record(self, name: str) -> None:
        if name not in self.goals:
            self.begin(name)
            self.flows[name].run(self.world.cloud, self.world.bundles)
            calls = self.world.azure.calls
            self.changes[name] = [n for n, c in enumerate(calls) if c.method in _CHANGE]
            self.goals[name] = self.world.reached()

    def begin(self, name: str) -> None:
        flow = self.flows[name]
        self.world.put_back(self.world.states[flow.before])
        if flow.wrong:
            self.world.ml.answers[self.world.model_of[flow.wrong]] = b'{"answer": "Bob"}'

    def arrived(self, name: str) -> None:
        assert self.world.reached() == self.goals[name]
        self.check(self.flows[name])

    def check(self, flow: Flow) -> None:
        """What serves was asked before, and there was no moment without, unless it was to be
        deleted."""
        for served in self.world.ml.history:
            assert set(served.traffic) <= served.proved
        if flow.run is not _delete:
            assert all(served.traffic for served in self.world.ml.history)

    def is_rolled_back(self) -> bool:
        """Whether the last change of a roll-back has been made."""
        (endpoint,) = self.world.azure.store.all(ENDPOINTS)
        routed = self.goals["roll back"][2]
        return self.world.ml.routed == routed and ROLLING not in endpoint["tags"]

    def converge(self, name: str) -> None:
        """Run the flow until it comes to its end; one more run than it was disturbed must do."""
        for last in (False, False, True):
            try:
                self.flows[name].run(self.world.cloud, self.world.bundles)
                break
            except CloudError:
                if last:
                    raise
        self.arrived(name)


@pytest.fixture(scope="module")
def flows(
    versions: dict[str, Bundle], keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None]
) -> Iterator[Flows]:
    with a_world(versions) as found:
        yield Flows(found, FLOWS)
        keep_bodies(found.azure.arm.puts)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("fault", REFUSALS)
def test_each_call_fails_and_then_does_not(flows: Flows, name: str, fault: Fault) -> None:
    flows.record(name)
    flows.begin(name)
    flows.world.azure.faults.every = fault
    FLOWS[name].run(flows.world.cloud, flows.world.bundles)
    flows.world.azure.faults.every = None
    flows.arrived(name)


def killed_at(flows: Flows, name: str, number: int) -> None:
    """Run the flow, which ends when the call of that number has been handled: whatever it goes on
    to ask, maybe in another thread, does not arrive."""
    faults = flows.world.azure.faults
    faults.deaths = set(range(number, number + 500))
    faults.at = dict.fromkeys(range(number + 1, number + 500), Fault.DROPPED_BEFORE)
    with suppress(Killed):
        flows.flows[name].run(flows.world.cloud, flows.world.bundles)
    faults.deaths, faults.at = set(), {}


@pytest.mark.parametrize("name", FLOWS)
def test_killed_after_each_change(flows: Flows, name: str) -> None:
    flows.record(name)
    for number in flows.changes[name]:
        flows.begin(name)
        killed_at(flows, name, number)
        assert flows.world.azure.calls[number].method in _CHANGE
        if name == "roll back" and flows.is_rolled_back():
            continue  # and one more would go back again
        flows.converge(name)


@pytest.mark.parametrize("ahead", [-7200, 7200])
def test_this_machines_clock_is_wrong(flows: Flows, ahead: float) -> None:
    flows.record("update")
    flows.begin("update")
    cloud, bundles = flows.world.connected(), flows.world.bundles
    flows.world.azure.clock.ahead = ahead
    for name in ("c", "c"):  # the second finds that the first has let go of its lease
        consent = Consent(yes=True, terminal=False)
        execute(lambda n=name: cloud.plan_deploy(bundles[n]), cloud, consent)  # type: ignore[misc]
    del flows.world.blobs[cloud.names.lease]  # type: ignore[attr-defined]
    flows.arrived("update")
