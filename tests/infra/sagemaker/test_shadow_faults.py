"""Whatever call fails while a shadow comes or goes, and however: what served goes on serving, and a
new run ends where an undisturbed one does. As test_faults.py, with flows of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import Unavailable
from onnxferry.infra.execution import Consent, execute
from tests.fakes.aws import AwsServer, Fault
from tests.infra.forking import killed
from tests.infra.sagemaker.conftest import NAME, KeptSession, cloud, deploy
from tests.infra.sagemaker.test_faults import LEASE, PACKAGE, World, opened
from tests.infra.sagemaker.test_shadow import SHADOWED

pytestmark = pytest.mark.faults

CALLS = {
    "comes": (
        *LEASE,
        *PACKAGE,
        "CreateRole",  # it is there: its policy is another one
        "PutRolePolicy",
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpointConfig",
        "CreateEndpoint",
        "DeleteEndpoint",
        "UpdateEndpoint",
        *LEASE,
    ),
    "goes": (
        *LEASE,
        "UpdateEndpoint",
        "DeleteObjects",
        "DeleteEndpointConfig",
        "DeleteEndpointConfig",
        "DeleteModel",
        *LEASE,
    ),
}


def series(often: tuple[str, int]) -> list[Any]:
    """All changes; a normal run takes one."""
    return [
        pytest.param(
            *(flow, i),
            id=f"{flow}-{i}-{call}",
            marks=[] if (flow, i) == often else [pytest.mark.series],
        )
        for flow, calls in CALLS.items()
        for i, call in enumerate(calls)
    ]


def run(flow: str, bundles: tuple[Bundle, ...]) -> None:
    """The flow, as the command line does it."""
    made = cloud(**SHADOWED)
    plans = {"comes": lambda: made.plan_deploy(bundles[2]), "goes": made.plan_delete_unproved}
    execute(plans[flow], made, Consent(yes=True, terminal=False), force=True)


def by_network(flow: str, bundles: tuple[Bundle, ...]) -> None:
    """The flow in a process of its own."""
    KeptSession.servers.clear()
    run(flow, bundles)


def second_serves(aws: AwsServer, bundles: tuple[Bundle, ...]) -> bool:
    """The second version answered all the time, whatever stood beside it."""
    changes = [change for change in aws.endpoints.changes if change.endpoint == NAME]
    return all(bundles[1].version in str(change.config) for change in changes)


class ShadowWorld(World):
    """Two versions are there, and the third as a shadow where that goes."""

    def prepare(self, flow: str) -> None:
        if self._start != flow:
            self.aws.reset()
            for each in self.bundles[:2]:
                deploy(each)
            if flow == "goes":
                deploy(self.bundles[2], **SHADOWED)
            self._start = flow
        self.aws.endpoints.changes.clear()
        self.known(flow)

    def run(self, flow: str) -> None:
        run(flow, self.bundles)

    def served(self, flow: str) -> bool:
        return second_serves(self.aws, self.bundles)


@pytest.fixture(scope="module")
def world(bundles: tuple[Bundle, ...]) -> Iterator[ShadowWorld]:
    with opened(ShadowWorld, bundles) as made:
        yield made


@pytest.mark.parametrize("flow", CALLS)
def test_the_changes_are_those_listed(world: ShadowWorld, flow: str) -> None:
    world.prepare(flow)
    assert tuple(operation for _, operation in world.changes(flow)) == CALLS[flow]


@pytest.mark.parametrize(("flow", "change"), series(("goes", 1)))
def test_trouble_that_lasts_ends_the_run_and_the_next_goes_on(
    world: ShadowWorld, flow: str, change: int
) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.at[world.changes(flow)[change][0]] = Fault.OUTAGE
        released = change == len(CALLS[flow]) - 1
        expected = pytest.raises(Unavailable, match="run the same command again")
        with nullcontext() if released else expected:
            run(flow, world.bundles)
        assert second_serves(world.aws, world.bundles)
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)


@pytest.mark.parametrize(("flow", "change"), series(("comes", 10)))
def test_a_killed_run_is_gone_on_with(world: ShadowWorld, flow: str, change: int) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.at[world.changes(flow)[change][0]] = Fault.KILLED
        assert killed(lambda: by_network(flow, world.bundles), world.aws.faults)
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)
