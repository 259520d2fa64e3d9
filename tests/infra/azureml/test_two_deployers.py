"""Two processes deploy different versions to one endpoint at once, one of them killed in half the
rounds: there is always one proved version live, and who was not killed was told so."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from onnxferry.infra.azureml.names import PREVIOUS, VERSION
from onnxferry.infra.cloud import Bundle
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.quotas import Quotas
from tests.infra.azureml.conftest import NAME, connected
from tests.infra.azureml.world import slim
from tests.infra.two_deployers import Told, Work, at_once, deploying, short_leases, truthful

__all__ = ["short_leases"]


@pytest.fixture
def workspace(short_leases: None) -> Iterator[MachineLearning]:
    """A workspace that processes reach by the network. This process sends it nothing: two may not
    share a connection."""
    with AzureFake() as fake, fake.reachable():
        fake.arm.add(*resources.TYPES)
        fake.operations.polls = 1
        Quotas(fake)
        made = MachineLearning(fake)
        made.workspace()
        yield made


def deployer(bundle: Bundle, *, force: bool = False) -> Work:
    return lambda: deploying(connected(), bundle, force=force)


def live(ml: MachineLearning) -> str:
    """The version that serves, alone; none took another's place that had not proved itself."""
    assert all(served.traffic and set(served.traffic) <= served.proved for served in ml.history)
    (serving,) = ml.routed[NAME]
    there = {one["name"]: one for one in ml.azure.store.all(DEPLOYMENTS)}
    return str(there[serving]["tags"][VERSION])


def settled(ml: MachineLearning) -> None:
    """The tags say what serves, and nothing is left of what was under way."""
    (endpoint,) = ml.azure.store.all(ENDPOINTS)
    assert endpoint["tags"][VERSION] == live(ml)
    kept = {*ml.routed[NAME], endpoint["tags"].get(PREVIOUS)} - {None}
    assert {one["name"] for one in ml.azure.store.all(DEPLOYMENTS)} <= kept


def play(ml: MachineLearning, bundles: list[Bundle], kill: float | None) -> list[Told]:
    """One round, from one version live to one version live."""
    before = live(ml)
    others = [each for each in bundles if each.version != before]
    told = at_once([deployer(each) for each in others], kill)
    killed = any(one.how == "killed" for one in told)
    truthful(told, live(ml), before)
    assert killed or any(one.how == "done" for one in told)
    if killed:
        last = at_once([deployer(others[0], force=True)])
        truthful(last, others[0].version, before)
        assert live(ml) == others[0].version
    settled(ml)
    return told


def rounds(ml: MachineLearning, bundles: list[Bundle], count: int, seed: int) -> list[str]:
    """How the processes of `count` rounds ended."""
    chance, began = random.Random(seed), time.monotonic()  # noqa: S311
    (first,) = at_once([deployer(bundles[0])])
    assert first.how == "done", first
    within = 1.5 * (time.monotonic() - began)
    kills = [chance.uniform(0, within) if i % 2 else None for i in range(count)]
    return [one.how for kill in kills for one in play(ml, bundles, kill)]


@pytest.fixture
def bundles(versions: dict[str, Bundle]) -> list[Bundle]:
    return [slim(bundle) for bundle in versions.values()]


def test_two_deployers_at_once(workspace: MachineLearning, bundles: list[Bundle]) -> None:
    assert "done" in rounds(workspace, bundles, 3, seed=1)


@pytest.mark.rounds
@pytest.mark.timeout(7200)
def test_fifty_rounds_of_two_deployers(workspace: MachineLearning, bundles: list[Bundle]) -> None:
    ended = rounds(workspace, bundles, 50, seed=int(time.time()))
    assert {"done", "held", "killed"} <= set(ended)
