"""Whatever call fails, and however: what served goes on serving, and a new run ends where an
undisturbed one does.

CALLS lists what each flow changes, in order. The process is killed after each of them, and each is
refused for good. That every call, reading ones too, is refused or dropped once is met by the SDK's
retries, all in one run. Every run holds the endpoint's lease, and takes it from one that was
killed.
"""

from __future__ import annotations

import gc
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NoCredentials, Refused, Unavailable
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.sagemaker import state
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from tests.fakes.aws import AwsServer, Fault
from tests.fakes.aws.faults import Faults
from tests.infra.forking import killed
from tests.infra.sagemaker.conftest import NAME, KeptSession, cloud, deploy, make_clients, no_pauses

pytestmark = pytest.mark.faults

PACKAGE = ("PutObject", "PutObject")
LEASE = ("PutObject",)
UPDATE = (
    *LEASE,
    *PACKAGE,
    "CreateModel",
    "CreateEndpointConfig",
    "PutMetricAlarm",
    "CreateEndpoint",
    "DeleteEndpoint",
    "UpdateEndpoint",
    "AddTags",
    "DeleteAlarms",
    "DeleteEndpointConfig",
    "DeleteModel",
    "DeleteObjects",
    *LEASE,
)
GOLDEN = ("PutObject", *("DeleteObject",) * 4)  # of an asynchronous endpoint
UPDATE_ASYNC = (
    *UPDATE[: UPDATE.index("DeleteEndpoint")],
    *GOLDEN,
    "DeleteEndpoint",
    "UpdateEndpoint",
    *GOLDEN,
    *UPDATE[UPDATE.index("AddTags") :],
)
TO_INSTANCES = (  # with alarms, which serverless has not
    *UPDATE[:3],
    "CreateRole",
    "PutRolePolicy",
    *(call for call in UPDATE[3:] if call != "DeleteAlarms"),
)
CALLS: dict[str, tuple[str, ...]] = {
    "deploy": (
        "CreateBucket",
        "PutPublicAccessBlock",
        "PutBucketEncryption",
        "PutBucketLifecycleConfiguration",
        "PutBucketTagging",
        *LEASE,
        *PACKAGE,
        "CreateRole",
        "PutRolePolicy",
        "CreateModel",
        "CreateEndpointConfig",
        "PutMetricAlarm",
        "CreateEndpoint",
        "AddTags",
        *LEASE,
    ),
    "update": UPDATE,
    "canary": UPDATE,  # on two instances
    "async": UPDATE_ASYNC,
    "to instances": TO_INSTANCES,  # from serverless
    "roll back": (*LEASE, "UpdateEndpoint", "AddTags", *LEASE),
    "delete": (
        *LEASE,
        "DeleteEndpoint",
        "DeleteAlarms",
        "DeleteAlarms",
        "DeleteObjects",
        "DeleteObjects",
        "DeleteEndpointConfig",
        "DeleteEndpointConfig",
        "DeleteModel",
        "DeleteModel",
        "DeleteLogGroup",
        "DeleteLogGroup",
        "DeleteRolePolicy",
        "DeleteRole",
        "DeleteObjects",
        "DeleteBucket",
        *LEASE,
    ),
}
SAMPLED = ("canary", "async", "to instances")  # a normal run troubles only their UpdateEndpoint
CASES = [(flow, i) for flow, calls in CALLS.items() for i in range(len(calls))]


def in_normal_runs(flow: str, i: int, turn: int) -> bool:
    """Every fourth of the changes, and always the one that decides what serves."""
    return CALLS[flow][i] == "UpdateEndpoint" or (flow not in SAMPLED and i % 4 == turn)


SERIES = [  # what a normal run refuses, and after what it is killed
    [
        pytest.param(
            flow,
            i,
            id=f"{flow}-{i}-{CALLS[flow][i]}",
            marks=[] if in_normal_runs(flow, i, turn) else [pytest.mark.series],
        )
        for flow, i in CASES
    ]
    for turn in (0, 2)
]
_MORE = ("canary", "async")
RELEASES = {(flow, len(calls) - 1) for flow, calls in CALLS.items()}
ONCE = (Fault.THROTTLED, Fault.BROKEN, Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER)
PASSING = [  # a normal run meets all in an update, and the last in the other flows
    pytest.param(
        flow,
        fault,
        id=f"{flow}-{fault.name}",
        marks=[] if flow == "update" or fault is ONCE[-1] else [pytest.mark.series],
    )
    for flow in CALLS
    if flow not in SAMPLED
    for fault in ONCE
]


def settings(flow: str) -> dict[str, Any]:
    """Those with which a flow runs."""
    rollout = {"traffic": "canary", "step_percent": 50}
    canary = {"instance_count": 2, "rollout": rollout}
    given: dict[str, dict[str, Any]] = {"canary": canary, "async": {"mode": "async"}}
    return given.get(flow, {})


def before(flow: str) -> dict[str, Any]:
    """Those with which what it starts from was made."""
    return {"mode": "serverless"} if flow == "to instances" else settings(flow)


def run(flow: str, bundles: tuple[Bundle, ...], faults: Faults | None = None) -> None:
    """The flow, as the command line does it. To roll back twice would be to go forward again, so
    what is done is not done again."""
    made, deployed = cloud(**settings(flow)), bundles[0 if flow == "deploy" else 2]
    if faults:
        faults.pass_time = made.clock.sleep
    plans = {"delete": made.plan_delete, "roll back": made.plan_rollback}
    planned_by = plans.get(flow, lambda: made.plan_deploy(deployed))
    if flow != "roll back" or not done(made, bundles[0]):
        execute(planned_by, made, Consent(yes=True, terminal=False), force=True)


def by_network(flow: str, bundles: tuple[Bundle, ...]) -> None:
    """The flow in a process of its own."""
    KeptSession.servers.clear()
    run(flow, bundles)


def done(made: SageMakerCloud, bundle: Bundle) -> bool:
    """Whether the record names `bundle` as the last that proved itself."""
    main = state.read(made.clients, made.names).main
    return main is not None and made.names.version_of(main.history[0]) == bundle.version


def found(aws: AwsServer) -> Any:
    """All that is in the account, once what is under way is done."""
    aws.endpoints.finish()
    endpoints = {e.name: (e.config, e.state, e.tags) for e in aws.endpoints.values()}
    roles = {name: dict(role.policies) for name, role in aws.roles.items()}
    return (
        endpoints,
        sorted(aws.sagemaker._models),
        sorted(aws.sagemaker.endpoint_configs),
        aws.keys,
        aws.alarms.names,
        roles,
    )


def served_throughout(aws: AwsServer, flow: str) -> bool:
    """Every change of what serves was to something that had answered the golden request before."""
    changes = [change for change in aws.endpoints.changes if change.endpoint == NAME]
    later = changes[1:-1] if flow == "delete" else changes[1:]
    return all(change.config and change.proved for change in later)


class World:
    """The fake with what a flow starts from. What is done in a copy of it leaves it as it is."""

    def __init__(self, aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
        self.aws, self.bundles = aws, bundles
        self.calls: dict[str, list[Any]] = {}
        self.ends: dict[str, Any] = {}
        self._start: Any = None

    def prepare(self, flow: str) -> None:
        """Two versions are there, or none; and how the flow goes undisturbed is known."""
        start = (0 if flow == "deploy" else 2, before(flow))
        if self._start != start:
            self.aws.reset()
            for each in self.bundles[: start[0]]:
                deploy(each, **start[1])
            self._start = start
        self.known(flow)

    def known(self, flow: str) -> None:
        """Count calls anew; how the flow goes undisturbed is known from then on."""
        self.aws.begin()
        if flow not in self.ends:
            self.calls[flow], self.ends[flow] = self.copy(lambda: self._undisturbed(flow))

    def _undisturbed(self, flow: str) -> tuple[list[Any], Any]:
        self.run(flow)
        assert self.served(flow)
        calls = [(call.number, call.operation, call.reads) for call in self.aws.calls]
        return calls, self.found()

    def run(self, flow: str) -> None:
        """The flow."""
        run(flow, self.bundles)

    def found(self) -> Any:
        """What must be the same after each run."""
        return found(self.aws)

    def served(self, flow: str) -> bool:
        """Whether what served went on serving."""
        return served_throughout(self.aws, flow)

    def changes(self, flow: str) -> list[tuple[int, str]]:
        """Number and operation of the calls that change something."""
        return [(number, operation) for number, operation, reads in self.calls[flow] if not reads]

    def ends_well(self, flow: str) -> None:
        """All is as after an undisturbed run, and what served went on serving."""
        assert self.found() == self.ends[flow]
        assert self.served(flow)
        assert self.aws.violations == []

    def copy(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, done in a copy of this process with a copy of the account."""
        self._stop.close()
        answer, say = os.pipe()
        if (pid := os.fork()) == 0:
            gc.disable()  # what other threads held cannot be collected after a fork
            with self.aws.answering():
                _report(say, work)
        os.close(say)
        with os.fdopen(answer, "rb") as file:
            data = file.read()
        os.waitpid(pid, 0)
        self.start()
        outcome = pickle.loads(data)  # noqa: S301
        if isinstance(outcome, str):
            pytest.fail(outcome, pytrace=False)
        return outcome[0]

    def start(self) -> None:
        self._stop = ExitStack()
        self._stop.enter_context(self.aws.answering())

    def stop(self) -> None:
        self._stop.close()


def _report(say: int, work: Callable[[], Any]) -> None:
    """Do `work`, send what came of it, and end this process."""
    try:
        outcome: Any = (work(),)
    except BaseException:
        outcome = traceback.format_exc()
    with os.fdopen(say, "wb") as file:
        file.write(pickle.dumps(outcome))
    os._exit(0)


W = TypeVar("W", bound=World)


@contextmanager
def opened(kind: type[W], bundles: tuple[Bundle, ...]) -> Iterator[W]:
    """A world of a fake of its own."""
    aws = AwsServer()
    with aws.reachable(), no_pauses():
        make_clients()  # for processes of their own
        KeptSession.servers[aws.url] = aws
        made = kind(aws, bundles)
        made.start()
        yield made
        made.stop()
    aws.close()


@pytest.fixture(scope="module")
def world(bundles: tuple[Bundle, ...]) -> Iterator[World]:
    with opened(World, bundles) as made:
        yield made


@pytest.mark.parametrize("flow", CALLS)
def test_the_changes_are_those_listed(world: World, flow: str) -> None:
    world.prepare(flow)
    assert tuple(operation for _, operation in world.changes(flow)) == CALLS[flow]


@pytest.mark.parametrize(("flow", "fault"), PASSING)
def test_trouble_that_passes_is_not_noticed(world: World, flow: str, fault: Fault) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.every = fault
        run(flow, world.bundles)
        assert world.aws.faults.met >= len(world.calls[flow]) - 3
        world.ends_well(flow)

    world.copy(work)


@pytest.mark.parametrize(("flow", "change"), SERIES[0])
def test_trouble_that_lasts_ends_the_run_and_the_next_goes_on(
    world: World, flow: str, change: int
) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.at[world.changes(flow)[change][0]] = Fault.OUTAGE
        expected = pytest.raises(Unavailable, match="run the same command again")
        with nullcontext() if (flow, change) in RELEASES else expected:
            run(flow, world.bundles)
        assert world.aws.faults.met == 5
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)


@pytest.mark.parametrize("after", range(1, 6))
@pytest.mark.parametrize(
    "flow", ["update", *(pytest.param(f, marks=pytest.mark.series) for f in ("roll back", *_MORE))]
)
def test_trouble_while_the_endpoint_is_pointed_elsewhere_takes_it_back(
    world: World, flow: str, after: int
) -> None:
    world.prepare(flow)

    def work() -> None:
        before = world.aws.endpoints[NAME].config
        number = next(
            number for number, operation in world.changes(flow) if operation == "UpdateEndpoint"
        )
        world.aws.faults.at[number + after] = Fault.OUTAGE
        with pytest.raises(CloudError) as caught:
            run(flow, world.bundles)
        world.aws.endpoints.finish()
        taken_back = "The earlier version serves again" in str(caught.value)
        assert (world.aws.endpoints[NAME].config == before) is taken_back
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)


@pytest.mark.parametrize(("flow", "change"), SERIES[1])
def test_a_killed_run_is_gone_on_with(world: World, flow: str, change: int) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.at[world.changes(flow)[change][0]] = Fault.KILLED
        assert killed(lambda: by_network(flow, world.bundles), world.aws.faults)
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)


EXPIRED = {"deploy": "CreateEndpoint", "update": "UpdateEndpoint", "roll back": "AddTags"}


@pytest.mark.parametrize("flow", EXPIRED)
def test_a_sign_in_that_expires_in_the_middle_is_told_once_and_the_next_run_goes_on(
    world: World, flow: str
) -> None:
    """Nothing can be put back or removed by then: what is left is named, with what it costs."""
    world.prepare(flow)

    def work() -> None:
        faults = world.aws.faults
        numbers = {operation: number for number, operation in world.changes(flow)}
        faults.at[numbers[EXPIRED[flow]] + 1 - (flow == "roll back")] = Fault.EXPIRED
        with pytest.raises(NoCredentials) as caught:
            run(flow, world.bundles)
        assert str(caught.value).count("the sign-in has expired") == 1
        assert flow != "deploy" or "endpoint squad (billed by the hour)" in str(caught.value)
        faults.signed_in = True
        run(flow, world.bundles)
        world.ends_well(flow)

    world.copy(work)


@pytest.mark.parametrize("flow", [pytest.param("deploy", marks=pytest.mark.series), "update"])
def test_answers_that_take_half_a_minute_only_take_longer(world: World, flow: str) -> None:
    world.prepare(flow)

    def work() -> None:
        world.aws.faults.every = Fault.SLOW
        run(flow, world.bundles, world.aws.faults)
        assert world.aws.faults.met >= len(world.calls[flow])
        world.ends_well(flow)

    world.copy(work)


def test_a_clock_that_is_wrong_is_said_and_nothing_is_changed(world: World) -> None:
    world.prepare("update")

    def work() -> None:
        before, world.aws.faults.skew = found(world.aws), 3600.0
        with pytest.raises(Refused, match="clock is 60 minutes slow"):
            run("update", world.bundles)
        assert found(world.aws) == before
        world.aws.faults.skew = 60.0
        run("update", world.bundles)
        world.ends_well("update")

    world.copy(work)
