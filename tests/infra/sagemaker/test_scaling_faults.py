"""Whatever call fails while autoscaling is registered, changed, taken away around another instance
type, or removed: a new run ends where an undisturbed one does, with what served still serving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.execution import Consent, execute
from tests.fakes.aws import AwsServer, Fault
from tests.infra.forking import killed
from tests.infra.sagemaker.conftest import KeptSession, cloud, deploy
from tests.infra.sagemaker.test_faults import World, found, opened

pytestmark = pytest.mark.faults

SCALING = {"max": 4, "target": 60, "schedule": [{"at": "rate(1 day)", "max": 6}]}
XLARGE = {"instance_type": "ml.m5.xlarge"}
CALLS = {
    "register": ("RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"),
    "change": ("RegisterScalableTarget", "PutScalingPolicy", "DeleteScheduledAction"),
    "instance type": (
        "CreateEndpoint",
        "DeleteEndpoint",
        "DeregisterScalableTarget",
        "UpdateEndpoint",
        "RegisterScalableTarget",
        "PutScalingPolicy",
        "PutScheduledAction",
        "AddTags",
    ),
    "take away": ("DeregisterScalableTarget",),
    "delete": ("DeregisterScalableTarget", "DeleteEndpoint"),
}
BEFORE: Mapping[str, Mapping[str, Any]] = {"register": {}}  # of the others: SCALING
AFTER: Mapping[str, Mapping[str, Any]] = {
    "register": {"scaling": SCALING},
    "change": {"scaling": {"max": 8, "target": 90}},
    "instance type": {"scaling": SCALING, **XLARGE},
    "take away": {},
    "delete": {"scaling": SCALING},
}
CASES = [(flow, name) for flow, names in CALLS.items() for name in names]
# what a normal run takes of the change of the instance type
OFTEN = {"refused": {"UpdateEndpoint"}, "lost": set(), "killed": {"RegisterScalableTarget"}}


def sample(fault: str) -> list[Any]:
    """All cases; a normal run leaves most out."""
    often = {("instance type", name) for name in OFTEN[fault]}
    series = pytest.mark.series
    return [
        pytest.param(*case, id="-".join(case), marks=[] if case in often else [series])
        for case in CASES
    ]


def run(flow: str, bundles: tuple[Bundle, ...]) -> None:
    made = cloud(**AFTER[flow])
    planned_by = made.plan_delete if flow == "delete" else lambda: made.plan_deploy(bundles[0])
    execute(planned_by, made, Consent(yes=True, terminal=False), force=True)


def by_network(flow: str, bundles: tuple[Bundle, ...]) -> None:
    """The flow in a process of its own."""
    KeptSession.servers.clear()
    run(flow, bundles)


def everything(aws: AwsServer) -> Any:
    """All that is in the account, without the ids that AWS draws."""
    there = found(aws)
    drawn = {"PolicyARN", "Alarms"}
    scaled = [
        {
            **asdict(one),
            "arn": "",
            "policies": [
                {key: value for key, value in policy.items() if key not in drawn}
                for policy in one.policies.values()
            ],
        }
        for one in aws.endpoints.scaling.values()
    ]
    return there, scaled


class ScaledWorld(World):
    """One version serves, with autoscaling but before the first flow."""

    def prepare(self, flow: str) -> None:
        self.aws.reset()
        deploy(self.bundles[0], **BEFORE.get(flow, {"scaling": SCALING}))
        self.known(flow)

    def run(self, flow: str) -> None:
        run(flow, self.bundles)

    def found(self) -> Any:
        return everything(self.aws)

    def at(self, flow: str, operation: str) -> int:
        """The number of the first such call."""
        return next(n for n, name in self.changes(flow) if name == operation)


@pytest.fixture(scope="module")
def world(bundles: tuple[Bundle, ...]) -> Iterator[ScaledWorld]:
    with opened(ScaledWorld, bundles) as made:
        yield made


@pytest.mark.parametrize(
    "flow",
    [pytest.param(f, marks=[] if f == "instance type" else [pytest.mark.series]) for f in CALLS],
)
def test_the_changes_are_those_listed(world: ScaledWorld, flow: str) -> None:
    world.prepare(flow)
    done = [operation for _, operation in world.changes(flow)]
    assert [name for name in done if name in CALLS[flow]] == list(CALLS[flow])


def goes_on(world: ScaledWorld, flow: str, number: int, fault: Fault) -> None:
    """After trouble that lasts, another run ends as it should."""
    world.aws.faults.at[number] = fault
    with pytest.raises(CloudError):
        run(flow, world.bundles)
    run(flow, world.bundles)
    world.ends_well(flow)


@pytest.mark.parametrize(("flow", "operation"), sample("refused"))
def test_a_refused_run_is_gone_on_with(world: ScaledWorld, flow: str, operation: str) -> None:
    world.prepare(flow)
    world.copy(lambda: goes_on(world, flow, world.at(flow, operation), Fault.OUTAGE))


@pytest.mark.parametrize(("flow", "operation"), sample("lost"))
def test_a_run_whose_connection_is_lost_is_gone_on_with(
    world: ScaledWorld, flow: str, operation: str
) -> None:
    world.prepare(flow)
    world.copy(lambda: goes_on(world, flow, world.at(flow, operation), Fault.LOST))


@pytest.mark.parametrize(("flow", "operation"), sample("killed"))
def test_a_killed_run_is_gone_on_with(world: ScaledWorld, flow: str, operation: str) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.at[world.at(flow, operation)] = Fault.KILLED
        assert killed(lambda: by_network(flow, world.bundles), world.aws.faults)
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)
