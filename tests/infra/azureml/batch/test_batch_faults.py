"""Whatever call fails while a batch is begun, followed, or stopped: the same command ends as if
nothing had happened, with one job that did the work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.batch.cloud import AzureMLJobs, connect
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.waiting import Clock
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed
from tests.fakes.azure.providers.batch import BATCH_DEPLOYMENTS, BATCH_ENDPOINTS
from tests.fakes.azure.providers.computes import COMPUTES
from tests.infra.azureml.batch.batches import ASKED, GOOD, answers, begin, put, run
from tests.infra.azureml.conftest import NAME, config
from tests.infra.azureml.world import World
from tests.infra.azureml.world import world as a_world

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
OFTEN = (Fault.DROPPED_AFTER,)  # of these, what a normal run takes
REFUSALS = [
    pytest.param(fault, marks=[] if fault in OFTEN else [pytest.mark.series])
    for fault in (
        Fault.THROTTLED,
        Fault.BROKEN,
        Fault.DROPPED_BEFORE,
        Fault.DROPPED_AFTER,
        Fault.EXPIRED,
    )
]


class Batches:
    """A world where "a" was answered, and "b" and "c" are to be."""

    def __init__(self, world: World, bundle: Bundle) -> None:
        self.world, self.bundle = world, bundle
        put(world.azure, {"a.jsonl": GOOD})
        run(bundle, made=self.jobs())
        put(world.azure, {"b.jsonl": GOOD, "deep/c.jsonl": GOOD})
        self.state = copy.deepcopy((world.copy(), world.ml.batch.runs))
        self.first = world.states[""]

    def jobs(self) -> AzureMLJobs:
        clock = Clock(now=self.world.azure.clock.now, sleep=lambda seconds: None, interval=0)
        return connect(config(), NAME, clock)

    def begin(self, *, anew: bool) -> None:
        """Where nothing is there yet, or a first batch was."""
        self.world.put_back(self.first if anew else self.state[0])
        self.world.ml.batch.runs[:] = [] if anew else copy.deepcopy(self.state[1])
        if anew:
            put(self.world.azure, {"b.jsonl": GOOD, "deep/c.jsonl": GOOD})

    def run(self) -> None:
        assert run(self.bundle, made=self.jobs()).total >= 2

    def killed_at(self, number: int, flow: Callable[[], Any]) -> None:
        faults = self.world.azure.faults
        faults.deaths = set(range(number, number + 500))
        faults.at = dict.fromkeys(range(number + 1, number + 500), Fault.DROPPED_BEFORE)
        with suppress(Killed, NotFound):
            flow()
        faults.deaths, faults.at = set(), {}

    def changes(self, flow: Callable[[], Any]) -> list[int]:
        """The numbers of the calls that change something."""
        flow()
        calls = self.world.azure.calls
        posts = ("/jobs", "/cancel")
        return [
            n
            for n, c in enumerate(calls)
            if c.method in ("PUT", "DELETE") or (c.method == "POST" and c.path.endswith(posts))
        ]

    def ended_well(self) -> None:
        azure, batch = self.world.azure, self.world.ml.batch
        assert len(answers(azure, "b.jsonl")) == len(answers(azure, "deep/c.jsonl")) == 2
        states = [job["properties"]["status"] for job in batch.jobs.values()]
        assert set(states[:-1]) <= {"Canceled", "Completed"}
        assert states[-1] == "Completed"
        assert batch.runs[-1] == ["b.jsonl", "deep/c.jsonl"]
        assert len(batch.runs) <= 2
        for type_ in (BATCH_ENDPOINTS, BATCH_DEPLOYMENTS, COMPUTES):
            assert len(list(azure.store.all(type_))) == 1
        kept = [name for name in self.world.blobs if name.startswith("out/_onnxferry/")]
        assert kept == ["out/_onnxferry/batch.json"]


@pytest.fixture(scope="module")
def batches(
    bundles: dict[str, Bundle], keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None]
) -> Iterator[Batches]:
    with a_world(bundles) as found:
        found.put_back(found.states[""])
        yield Batches(found, bundles["a"])
        keep_bodies(found.azure.arm.puts)


@pytest.mark.parametrize("fault", REFUSALS)
def test_each_call_fails_and_then_does_not(batches: Batches, fault: Fault) -> None:
    batches.begin(anew=True)
    made = batches.jobs()
    batches.world.azure.faults.every = fault
    assert run(batches.bundle, made=made).succeeded
    batches.world.azure.faults.every = None
    batches.ended_well()


@pytest.mark.series
@pytest.mark.parametrize("anew", [True, False])
def test_killed_after_each_change(batches: Batches, anew: bool) -> None:
    batches.begin(anew=anew)
    for number in batches.changes(batches.run):
        batches.begin(anew=anew)
        batches.killed_at(number, batches.run)
        batches.run()
        batches.ended_well()


@pytest.mark.series
@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.DROPPED_AFTER])
def test_each_change_fails_for_good(batches: Batches, fault: Fault) -> None:
    batches.begin(anew=False)
    for number in batches.changes(batches.run):
        batches.begin(anew=False)
        batches.world.azure.faults.at = dict.fromkeys(range(number, number + 30), fault)
        with suppress(CloudError):
            batches.run()
        batches.world.azure.faults.at = {}
        batches.run()
        batches.ended_well()


def test_killed_when_a_job_has_begun_or_its_answers_are_half_collected(batches: Batches) -> None:
    batches.begin(anew=False)
    numbers, calls = batches.changes(batches.run), list(batches.world.azure.calls)
    started = next(n for n in numbers if calls[n].path == "/jobs")
    collected = next(n for n in numbers if calls[n].path.endswith("/out/b.jsonl.out"))
    for number in (started, collected):
        batches.begin(anew=False)
        batches.killed_at(number, batches.run)
        batches.run()
        batches.ended_well()


@pytest.mark.series
def test_killed_while_a_job_is_cancelled(batches: Batches) -> None:
    def cancelled() -> None:
        made, _ = begin(batches.bundle, made=batches.jobs())
        apply(made.plan_cancel(ASKED), made)

    batches.begin(anew=False)
    for number in batches.changes(cancelled):
        batches.begin(anew=False)
        batches.killed_at(number, cancelled)
        with suppress(NotFound):
            made = batches.jobs()
            apply(made.plan_cancel(ASKED), made)
        batches.run()
        batches.ended_well()
