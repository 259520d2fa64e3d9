"""Canary, mirror, scaling and batches of one name, in any order and cut off anywhere: traffic is
all on versions that have proved themselves, what is others' stays, and `delete` leaves nothing of
ours. `make worlds` tries 400 lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry.infra import azureml
from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.batch.cloud import connect as connect_jobs
from onnxferry.infra.azureml.names import MADE
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.waiting import Clock
from onnxferry.system.errors import FerryError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed, in_process
from tests.fakes.azure.providers import resources
from tests.infra.azureml.batch.batches import GOOD, lean, put, with_batch
from tests.infra.azureml.batch.batches import run as run_batch
from tests.infra.azureml.conftest import NAME, config, deploy
from tests.infra.azureml.foreign import Neighbours, foreign
from tests.infra.azureml.rollouts import Clients
from tests.infra.azureml.test_worlds import quick
from tests.infra.azureml.world import World
from tests.infra.quiet import QuietReport

# a run may be killed in the thread in which azure-core waits for an operation
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
ROLLOUTS: Mapping[str, dict[str, Any]] = {
    "all at once": {},
    "canary": {"traffic": "canary", "step_percent": 20, "wait_seconds": 60},
    "mirror": {"mirror": 20},
}
SCALED = {"max": 3, "target": 70}


class LiveWorld(World):
    """Its endpoints capture, so that a shadow can come."""

    def __init__(self, azure: AzureFake, bundles: dict[str, Bundle]) -> None:
        super().__init__(azure, bundles)
        self.batch = lean(bundles["a"])
        azure.operations.polls = 0

    def connected(self, **changes: Any) -> OnlineEndpoint:
        """See World."""
        return super().connected(**{"capture": {}, **changes})

    def begin(self, before: str) -> None:
        """With a file to be answered."""
        self.put_back(self.states[before])
        self.ml.batch.runs.clear()
        put(self.azure, {"a.jsonl": GOOD})

    def left(self) -> list[str]:
        """What carries our mark, and the endpoint's files, but for who had the lease last."""
        marked = [one["id"] for one in self.azure.store.everything() if MADE in _tags(one)]
        files = [name for name in self.blobs if name.startswith(f"onnxferry/{NAME}/")]
        return [*marked, *(name for name in files if not name.endswith("/lease.json"))]


def _tags(one: Mapping[str, Any]) -> dict[str, str]:
    return {**(one.get("tags") or {}), **((one.get("properties") or {}).get("tags") or {})}


@dataclass(frozen=True)
class Life:
    """One endpoint, whose clients ask while the product waits."""

    world: LiveWorld
    settings: DeployConfig

    @property
    def clock(self) -> Clock:
        """The fake's time."""
        clients = Clients(self.world)
        return Clock(now=self.world.azure.clock.now, sleep=clients.sleep, interval=0)

    @property
    def cloud(self) -> OnlineEndpoint:
        """By these settings."""
        return azureml.connect(self.settings, NAME, self.clock)

    def deploy(self, name: str) -> None:
        """Deploy a version."""
        deploy(self.cloud, self.world.bundles[name])

    def roll_back(self) -> None:
        """Go back."""
        apply(self.cloud.plan_rollback(), self.cloud, QuietReport())

    def delete_unproved(self) -> None:
        """Delete what has not served."""
        plan = self.cloud.plan_delete_unproved()
        deleted = [str(step) for step in plan.steps if step.action.value == "delete"]
        assert len(deleted) == len(set(deleted))
        apply(plan, self.cloud, QuietReport())

    def delete(self) -> None:
        """Delete all."""
        apply(self.cloud.plan_delete(), self.cloud, QuietReport())

    def batch(self) -> None:
        """Answer the file, by the first version."""
        run_batch(self.world.batch, made=connect_jobs(self.settings, NAME, self.clock))


FLOWS: Mapping[str, Callable[[Life], None]] = {
    "deploy a": lambda life: life.deploy("a"),
    "deploy b": lambda life: life.deploy("b"),
    "deploy c": lambda life: life.deploy("c"),
    "roll back": Life.roll_back,
    "delete what is unproved": Life.delete_unproved,
    "delete": Life.delete,
    "batch": Life.batch,
}


@pytest.fixture(scope="module")
def world(
    versions: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveWorld]:
    folder = tmp_path_factory.mktemp("lives")
    bundles = {name: with_batch(one, folder / name) for name, one in versions.items()}
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        yield LiveWorld(fake, bundles)


def live(world: LiveWorld, data: st.DataObject) -> None:
    """Some flows, each by settings of its own."""
    world.begin(data.draw(st.sampled_from(("", "a", "ab", "ab")), "live before"))
    neighbours = Neighbours(world)
    if data.draw(st.booleans(), "strangers"):
        neighbours.move_in(data.draw(foreign(tuple(world.model_of.values()), world.ours)))
    theirs = {id_.rpartition("/")[2] for id_ in neighbours.ids if "/deployments/" in id_}
    for name in data.draw(st.lists(st.sampled_from(sorted(FLOWS)), min_size=2, max_size=5)):
        begun = len(world.ml.history)
        disturbed(Life(world, data.draw(settings_(), "settings")), name, data)
        neighbours.unchanged()
        for served in world.ml.history[begun:]:
            assert set(served.traffic) <= served.proved | theirs
            assert sum(served.traffic.values()) == (100 if served.traffic else 0)
            assert served.traffic or name == "delete"
    if not neighbours.ids and not neighbours.blobs:
        last = Life(world, config())
        last.delete()
        assert world.left() == []
        assert not last.cloud.plan_delete().changes


@st.composite
def settings_(draw: st.DrawFn) -> DeployConfig:
    """Of a flow."""
    facts: dict[str, Any] = {"rollout": ROLLOUTS[draw(st.sampled_from(sorted(ROLLOUTS)))]}
    facts |= {"scaling": SCALED} if draw(st.booleans()) else {}
    return config(capture={}, keep_previous=draw(st.booleans()), **facts)


def disturbed(life: Life, name: str, data: st.DataObject) -> None:
    """Run a flow, in which the model may be wrong, calls may fail, or which is killed."""
    world, faults = life.world, life.world.azure.faults
    trouble = data.draw(st.sampled_from(("", "", "killed", "broken", "wrong")), "trouble")
    world.azure.restart_counting()
    if trouble in ("killed", "broken"):
        at = data.draw(st.integers(5, 120), "call")
        faults.at = dict.fromkeys(range(at, at + 20), Fault.BROKEN)
    if trouble == "killed":
        faults.deaths = set(range(at, at + 500))
        faults.at = dict.fromkeys(range(at + 1, at + 500), Fault.DROPPED_BEFORE)
    if trouble == "wrong":
        world.ml.answers |= dict.fromkeys(world.model_of.values(), b'{"answer": "Bob"}')
    with suppress(FerryError, Killed):
        FLOWS[name](life)
    faults.deaths, faults.at = set(), {}
    world.ml.answers.clear()


@pytest.mark.series
@given(data=st.data())
@quick(max_examples=12, derandomize=True)
def test_any_life(world: LiveWorld, data: st.DataObject) -> None:
    live(world, data)


@pytest.mark.worlds
@pytest.mark.timeout(0)
def test_any_of_400_lives(world: LiveWorld) -> None:
    @given(data=st.data())
    @quick(max_examples=400)
    def run(data: st.DataObject) -> None:
        live(world, data)

    run()
