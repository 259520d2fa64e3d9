"""Whatever others have in the workspace, and below our names, no flow changes it, and nothing that
a deployment needs is deleted. `make worlds` runs 2,000 worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Plan
from tests.infra.azureml.foreign import Neighbours, foreign
from tests.infra.azureml.world import World
from tests.infra.azureml.world import world as a_world
from tests.infra.quiet import QuietReport

Planned = Callable[[OnlineEndpoint, dict[str, Bundle]], Plan]
FLOWS: dict[str, Planned] = {
    "deploy a": lambda cloud, bundles: cloud.plan_deploy(bundles["a"]),
    "deploy b": lambda cloud, bundles: cloud.plan_deploy(bundles["b"]),
    "deploy c": lambda cloud, bundles: cloud.plan_deploy(bundles["c"]),
    "fail": lambda cloud, bundles: cloud.plan_deploy(bundles["c"]),
    "roll back": lambda cloud, bundles: cloud.plan_rollback(),
    "delete what is unproved": lambda cloud, bundles: cloud.plan_delete_unproved(),
    "delete": lambda cloud, bundles: cloud.plan_delete(),
}


@pytest.fixture(scope="module")
def world(versions: dict[str, Bundle]) -> Iterator[World]:
    with a_world(versions) as found:
        found.azure.operations.polls = 0
        yield found


def live(world: World, data: st.DataObject) -> None:
    """Run some flows in a world that is drawn, in which others do things meanwhile."""
    world.put_back(world.states[data.draw(st.sampled_from(("", "a", "ab")), "live before")])
    used = tuple(world.model_of.values())
    strangers, neighbours = foreign(used, world.ours), Neighbours(world)
    keep = data.draw(st.booleans(), "keep_previous")
    cloud = world.clouds[keep]
    names = st.lists(st.sampled_from(sorted(FLOWS)), min_size=1, max_size=4)
    for turn, name in enumerate(data.draw(names, "flows")):
        if turn in (0, 2):
            neighbours.move_in(data.draw(strangers, "strangers"))
        flow(world, cloud, name, neighbours)


def flow(world: World, cloud: OnlineEndpoint, name: str, neighbours: Neighbours) -> None:
    wrong = {world.model_of["c"]: b'{"answer": "Bob"}'} if name == "fail" else {}
    before = neighbours.references()
    world.ml.answers |= wrong
    with suppress(CloudError):
        apply(FLOWS[name](cloud, world.bundles), cloud, QuietReport())
    world.ml.answers.clear()
    neighbours.unchanged()
    after = neighbours.references()
    lost = {id_: needs - after[id_] for id_, needs in before.items() if id_ in after}
    assert not {id_: needs for id_, needs in lost.items() if needs}


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
PHASES = (Phase.generate,)  # a world is small enough to read as it was drawn
quick: Any = partial(
    settings, deadline=None, database=None, phases=PHASES, suppress_health_check=SUPPRESSED
)


@given(data=st.data())
@quick(max_examples=15, derandomize=True)
def test_no_flow_changes_what_is_not_ours(world: World, data: st.DataObject) -> None:
    live(world, data)


@pytest.mark.worlds
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(4))
def test_no_flow_changes_what_is_not_ours_in_2000_worlds(world: World, part: int) -> None:
    @given(data=st.data())
    @quick(max_examples=500)
    def run(data: st.DataObject) -> None:
        live(world, data)

    run()
