"""Trouble at every call while a shadow comes, takes over, or goes: what serves goes on serving, and
a new run ends where an undisturbed one does. As test_faults.py, with flows of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.azureml.names import ROLLING, SHADOW
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError
from onnxferry.infra.target_tables.rollout import AzureMLRollout
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.providers.machinelearning import ENDPOINTS
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.mirrored import mirror_world
from tests.infra.azureml.test_faults import REFUSALS, Flow, Flows, killed_at
from tests.infra.quiet import QuietReport

pytestmark = [
    pytest.mark.faults,
    # a run may be killed in the thread in which azure-core waits for an operation
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


def _come(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    deploy(cloud, bundles["c"])


def _take_over(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    assert isinstance(cloud, AzureMLCloud)
    settings = cloud.settings.model_copy(update={"rollout": AzureMLRollout()})
    deploy(replace(cloud, settings=settings), bundles["c"])


def _roll_back(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_rollback(), cloud, QuietReport())


def _delete_unproved(cloud: OnlineEndpoint, bundles: dict[str, Bundle]) -> None:
    apply(cloud.plan_delete_unproved(), cloud, QuietReport())


FLOWS = {
    "comes": Flow("ab", _come),
    "is another": Flow("aba", _come),
    "takes over": Flow("abc", _take_over),
    "goes back": Flow("abc", _roll_back),
    "is unproved": Flow("abc", _delete_unproved),
}


class MirrorFlows(Flows):
    """What serves is the same all the time, until the shadow takes over."""

    def check(self, flow: Flow) -> None:
        super().check(flow)
        served = self.world.ml.history[len(self.world.states[flow.before][2]) :]
        assert bool(served) == (flow.run is _take_over)

    def is_through(self) -> bool:
        """Whether the last change of a roll-back has been made."""
        (endpoint,) = self.world.azure.store.all(ENDPOINTS)
        return not {ROLLING, SHADOW} & set(endpoint["tags"])


def often(*chosen: Any) -> list[Any]:
    """All flows; a normal run takes those that are chosen."""
    return [
        pytest.param(name, marks=[] if name in chosen else [pytest.mark.series]) for name in FLOWS
    ]


@pytest.fixture(scope="module")
def flows(versions: dict[str, Bundle]) -> Iterator[MirrorFlows]:
    with mirror_world(versions) as world:
        world.put_back(world.states["ab"])
        deploy(world.cloud, world.bundles["a"])  # the one of before is the shadow now
        world.states["aba"] = world.copy()
        yield MirrorFlows(world, FLOWS)


@pytest.mark.series
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("fault", REFUSALS)
def test_each_call_fails_and_then_does_not(flows: MirrorFlows, name: str, fault: Fault) -> None:
    flows.record(name)
    flows.begin(name)
    flows.world.azure.faults.every = fault
    FLOWS[name].run(flows.world.cloud, flows.world.bundles)
    flows.world.azure.faults.every = None
    flows.arrived(name)


@pytest.mark.parametrize("name", often("goes back"))
def test_killed_after_each_change(flows: MirrorFlows, name: str) -> None:
    flows.record(name)
    assert flows.changes[name]
    for number in flows.changes[name]:
        flows.begin(name)
        killed_at(flows, name, number)
        if name == "goes back" and flows.is_through():
            continue  # and one more would go back further
        flows.converge(name)


@pytest.mark.series
@pytest.mark.parametrize("name", FLOWS)
def test_each_change_is_refused_for_a_while(flows: MirrorFlows, name: str) -> None:
    flows.record(name)
    for number in flows.changes[name]:
        flows.begin(name)
        flows.world.azure.faults.at = dict.fromkeys(range(number, number + 6), Fault.BROKEN)
        with suppress(CloudError):
            FLOWS[name].run(flows.world.cloud, flows.world.bundles)
        flows.world.azure.faults.at = {}
        if flows.world.reached() != flows.goals[name]:  # what can wait is pruned by the next run
            flows.converge(name)
        flows.check(FLOWS[name])
