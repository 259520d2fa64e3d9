"""Whatever call of a template's deployment fails, and wherever it is cut off: a new run ends where
an undisturbed one does."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.apply import Interrupted, apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Action
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from tests.fakes.aws import AwsServer, Fault
from tests.infra.sagemaker.conftest import NAME, cloud
from tests.infra.sagemaker.test_template_stacks import STACK

pytestmark = pytest.mark.faults

# what the kit changes; change sets that are discarded aside
CALLS = (
    *("CreateChangeSet", "DeleteStack"),  # the preview of a stack that is not there
    *("CreateChangeSet", "ExecuteChangeSet"),  # bucket and role
    *("PutObject", "PutObject"),
    *("CreateChangeSet", "ExecuteChangeSet"),  # the endpoint
)
SAMPLE = (7,)
STEPS = 10
LASTING = (pytest.param(Fault.OUTAGE, marks=pytest.mark.series), Fault.LOST)


def run(made: SageMakerCloud, bundle: Bundle) -> None:
    apply(made.plan_template_with(bundle), made)


def found(aws: AwsServer) -> Any:
    """All that is there, but for what CloudFormation names by itself."""
    aws.stacks.finish()
    aws.endpoints.finish()
    stacks = {name: (one.state, one.values) for name, one in aws.stacks.items()}
    endpoints = {name: one.state for name, one in aws.endpoints.items()}
    counts = (len(aws.sagemaker._models), len(aws.sagemaker.endpoint_configs))
    return stacks, endpoints, counts, aws.keys, list(aws.roles)


@pytest.fixture(scope="module")
def undisturbed(server: AwsServer, bundles: tuple[Bundle, ...]) -> Any:
    server.reset()
    with server.reachable():
        run(cloud(), bundles[0])
        server.begin()
        state, kind = found(server), server.stacks[STACK].state
    assert kind == "UPDATE_COMPLETE"
    return state


def changing(aws: AwsServer) -> list[int]:
    """The numbers of the calls that change something, each counted at its first attempt."""
    return [call.number for call in aws.calls if not call.reads and call.attempt == 1]


def test_these_calls_are_all_that_it_changes(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.begin()
    run(cloud(), bundles[0])
    named = [aws.calls[number].operation for number in changing(aws)]
    assert tuple(name for name in named if name != "DeleteChangeSet") == CALLS


@pytest.mark.parametrize("fault", LASTING, ids=["OUTAGE", "LOST"])
@pytest.mark.parametrize(
    "at", [pytest.param(i, marks=[] if i in SAMPLE else pytest.mark.series) for i in range(12)]
)
def test_a_call_that_is_refused_or_lost_for_good(
    aws: AwsServer, bundles: tuple[Bundle, ...], undisturbed: Any, at: int, fault: Fault
) -> None:
    aws.begin()
    run(cloud(), bundles[0])
    numbers = changing(aws)
    aws.reset()
    aws.faults.at = {numbers[min(at, len(numbers) - 1)]: fault}
    with pytest.raises(CloudError):
        run(cloud(), bundles[0])
    aws.begin()
    run(cloud(), bundles[0])
    assert found(aws) == undisturbed


@pytest.mark.parametrize(
    "done", [pytest.param(i, marks=[] if i in (7,) else pytest.mark.series) for i in range(STEPS)]
)
def test_a_run_that_is_cut_off_after_a_step(
    aws: AwsServer, bundles: tuple[Bundle, ...], undisturbed: Any, done: int
) -> None:
    made = cloud()
    plan = made.plan_template_with(bundles[0])
    for step in [s for s in plan.steps if s.action is not Action.REUSE][:done]:
        made.execute(step, print)
    run(cloud(), bundles[0])
    assert found(aws) == undisturbed
    assert cloud().plan_template_with(bundles[0]).changes == ()


@pytest.mark.parametrize(
    "fault",
    [
        *(pytest.param(f, marks=pytest.mark.series) for f in (Fault.THROTTLED, Fault.BROKEN)),
        pytest.param(Fault.DROPPED_BEFORE, marks=pytest.mark.series),
        Fault.DROPPED_AFTER,
    ],
)
def test_every_call_is_troubled_once(
    aws: AwsServer, bundles: tuple[Bundle, ...], undisturbed: Any, fault: Fault
) -> None:
    aws.faults.every = fault
    run(cloud(), bundles[0])
    aws.begin()
    assert found(aws) == undisturbed


def test_ctrl_c_leaves_cloudformation_at_work_and_the_next_run_waits(
    aws: AwsServer, bundles: tuple[Bundle, ...], undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cloud()

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(made)._operations, "follow_stack_resource", cut_off)
        with pytest.raises(Interrupted):
            run(made, bundles[0])
    run(cloud(), bundles[0])
    assert found(aws) == undisturbed
    assert NAME in aws.endpoints
