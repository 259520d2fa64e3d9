"""Roll-outs in a world: their clients ask while the product waits, and the fake's time passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra import azureml
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.azureml.names import COMING, PREVIOUS, VERSION
from onnxferry.infra.waiting import Clock
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS
from tests.infra.azureml.conftest import NAME, config
from tests.infra.azureml.world import World

Moment = Callable[[dict[str, int]], None]


@dataclass
class Clients:
    """Who sends `each` minute that many requests to the endpoint, while the product waits; `at` is
    called first with what serves then."""

    world: World
    each: int = 20
    at: Moment = lambda traffic: None
    waited: float = 0
    moments: list[dict[str, int]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.waited += seconds
            traffic = dict(self.world.ml.routed.get(NAME, {}))
            self.moments.append(traffic)
            self.at(traffic)
            self.world.azure.clock.ahead += seconds / 2
            self.world.ml.arrive(NAME, self.each)
            self.world.azure.clock.ahead += seconds / 2


def connected(clients: Clients, *, keep_previous: bool = True, **rollout: Any) -> AzureMLCloud:
    """The endpoint, by this roll-out."""
    clock = Clock(now=clients.world.azure.clock.now, sleep=clients.sleep, interval=0)
    own = config(rollout=rollout, keep_previous=keep_previous)
    cloud = azureml.connect(own, NAME, clock)
    assert isinstance(cloud, AzureMLCloud)
    return cloud


def name_of(world: World, bundle: str) -> str:
    """The deployment of a bundle; "" where there is none."""
    version = f"v{world.bundles[bundle].version}-"
    found = (one["name"] for one in world.azure.store.all(DEPLOYMENTS))
    return next((name for name in found if name.startswith(version)), "")


def shares(world: World, bundles: Iterable[str], since: int = 0) -> list[dict[str, int]]:
    """All that served from the change of that number on, by bundle."""
    of = {f"v{world.bundles[one].version}": one for one in bundles}
    return [
        {of[name.partition("-")[0]]: share for name, share in one.traffic.items()}
        for one in world.ml.history[since:]
    ]


def tags(world: World) -> dict[str, str]:
    """What the endpoint's tags say: of what serves, what served before, and what is coming."""
    (found,) = world.azure.store.all(ENDPOINTS)
    return {key: found["tags"].get(key, "") for key in (VERSION, PREVIOUS, COMING)}


def always_right(world: World) -> None:
    """At no moment did traffic go to something unproved, and it was always all of it."""
    for one in world.ml.history:
        assert sum(one.traffic.values()) == 100
        assert set(one.traffic) <= one.proved
