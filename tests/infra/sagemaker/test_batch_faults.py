"""Whatever call fails while a batch is begun, followed, or stopped: nothing is half made, and the
same command ends as if nothing had happened, with one job that did the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from tests.fakes.aws import AwsServer, Fault
from tests.fakes.aws.calls import Call
from tests.infra.forking import killed
from tests.infra.sagemaker.batches import ASKED, GOOD, NONE, answers, begin, followed, put, run
from tests.infra.sagemaker.batches import transform_jobs as jobs_of
from tests.infra.sagemaker.conftest import KeptSession, make_clients, no_pauses

pytestmark = pytest.mark.faults

# the changes of a first batch, in order: a bucket and the lease in it, what an endpoint stands on,
# the job, and what is taken back
CHANGES = (
    "CreateBucket",
    "PutPublicAccessBlock",
    "PutBucketEncryption",
    "PutBucketLifecycleConfiguration",
    "PutBucketTagging",
    "PutObject",
    "PutObject",
    "PutObject",
    "CreateRole",
    "PutRolePolicy",
    "PutRolePolicy",
    "CreateModel",
    "PutObject",
    "PutObject",
    "CreateTransformJob",
    "PutObject",
    "DeleteRolePolicy",
)
OFTEN = {14}  # of these, what a normal run takes
CASES = [
    pytest.param(i, id=f"{i}-{name}", marks=[] if i in OFTEN else [pytest.mark.series])
    for i, name in enumerate(CHANGES)
]


def changes(aws: AwsServer) -> list[Call]:
    return [call for call in aws.calls if not call.reads]


def ends_well(aws: AwsServer) -> None:
    """Each file was sent once, by a job that is the only one or follows those that never began."""
    assert [job.state for job in aws.transform_jobs.values()][-1] == "Completed"
    assert len(answers(aws, "a.jsonl")) == 2
    assert aws.transform_jobs.requests == [GOOD.encode()]
    (role,) = aws.roles.values()
    assert not [name for name in role.policies if "batch" in name]
    assert len(aws.sagemaker._models) == 1


@pytest.fixture
def numbers(aws: AwsServer, bundles: tuple[Bundle, ...]) -> list[int]:
    """The numbers of the changes of an undisturbed run; the account is as before it."""
    put(aws, {"a.jsonl": GOOD})
    aws.begin()
    run(bundles[0])
    made = changes(aws)
    assert tuple(call.operation for call in made) == CHANGES
    aws.reset()
    put(aws, {"a.jsonl": GOOD})
    aws.begin()
    return [call.number for call in made]


@pytest.mark.parametrize("fault", [Fault.OUTAGE, Fault.LOST])
@pytest.mark.parametrize("change", CASES)
def test_a_batch_that_a_fault_ended_is_gone_on_with(
    aws: AwsServer, bundles: tuple[Bundle, ...], numbers: list[int], change: int, fault: Fault
) -> None:
    aws.faults.at[numbers[change]] = fault
    with suppress(CloudError):
        run(bundles[0])
    assert aws.faults.met > 1
    aws.begin()
    run(bundles[0])
    ends_well(aws)


@pytest.mark.parametrize(
    "fault", [pytest.param(Fault.THROTTLED, marks=pytest.mark.series), Fault.DROPPED_AFTER]
)
def test_trouble_that_passes_is_not_noticed(
    aws: AwsServer, bundles: tuple[Bundle, ...], numbers: list[int], fault: Fault
) -> None:
    aws.faults.every = fault
    assert run(bundles[0]).succeeded
    ends_well(aws)
    assert len(aws.transform_jobs) == 1


@pytest.fixture
def alone(bundles: tuple[Bundle, ...]) -> Iterator[AwsServer]:
    """A fake of its own, which another process reaches by its port."""
    aws = AwsServer()
    with aws.reachable(), no_pauses():
        make_clients()
        KeptSession.servers[aws.url] = aws
        with aws.answering():
            yield aws
    del KeptSession.servers[aws.url]
    aws.close()


@pytest.mark.parametrize(
    "operation", ["CreateTransformJob", pytest.param("StopTransformJob", marks=pytest.mark.series)]
)
def test_a_killed_run_is_gone_on_with(
    alone: AwsServer, bundles: tuple[Bundle, ...], operation: str
) -> None:
    put(alone, {"a.jsonl": GOOD})

    def work() -> None:
        KeptSession.servers.clear()
        made, _ = begin(bundles[0])
        apply(made.plan_cancel(ASKED), made)

    number = _number_of(alone, operation, bundles)
    alone.faults.at[number] = Fault.KILLED
    assert killed(work, alone.faults)
    made = jobs_of()
    plan = made.plan_batch(bundles[0], ASKED, NONE)
    (job,) = alone.transform_jobs.values()
    if operation == "CreateTransformJob":
        assert plan.steps[-1].name == job.name
        assert followed(made, plan).succeeded
    else:
        alone.transform_jobs.finish()
        assert job.state == "Stopped"
        assert run(bundles[0]).succeeded
    assert len(answers(alone, "a.jsonl")) == 2


def _number_of(aws: AwsServer, operation: str, bundles: tuple[Bundle, ...]) -> int:
    """Of that call in an undisturbed run."""
    aws.begin()
    made, _ = begin(bundles[0])
    apply(made.plan_cancel(ASKED), made)
    found: Any = next(call.number for call in aws.calls if call.operation == operation)
    aws.reset()
    put(aws, {"a.jsonl": GOOD})
    aws.begin()
    return int(found)
