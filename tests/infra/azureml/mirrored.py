"""A workspace where "a", then "b" is deployed, which capture, and then "c" as the shadow of "b"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from tests.fakes.azure import AzureFake
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.world import World

SHADOW: dict[str, Any] = {"rollout": {"mirror": 50}}


class MirrorWorld(World):
    """Its cloud has the shadow in its settings; `live` has not."""

    def __init__(self, azure: AzureFake, bundles: dict[str, Bundle]) -> None:
        super().__init__(azure, bundles)
        self.live, self.cloud = self.cloud, self.connected(**SHADOW)
        deploy(self.cloud, self.bundles["c"])
        self.states["abc"] = self.copy()
        self.ml.collector.waiting.clear()

    def connected(self, **changes: Any) -> OnlineEndpoint:
        """An endpoint that captures."""
        return super().connected(**{"capture": {}, **changes})

    def put_back(self, state: Any) -> None:
        """And with nothing captured, and nothing counted."""
        super().put_back(state)
        self.ml.collector.__init__(self.azure)  # type: ignore[misc]
        self.ml.monitor.scored.clear()
        self.ml.latency.clear()

    @property
    def endpoint(self) -> dict[str, Any]:
        """Its tags, traffic and copies."""
        found = self.azure.store.get(f"{self.cloud.names.workspace_id}/onlineEndpoints/squad")  # type: ignore[attr-defined]
        facts = (found or {}).get("properties", {})
        shares = {key: facts.get(key) or {} for key in ("traffic", "mirrorTraffic")}
        return {"tags": (found or {}).get("tags", {}), **shares}

    def deployments(self) -> list[str]:
        """The names of those that are there."""
        return sorted(one["name"] for one in self.azure.store.all(DEPLOYMENTS))


@contextmanager
def mirror_world(bundles: dict[str, Bundle]) -> Iterator[MirrorWorld]:
    """A world without sockets."""
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        yield MirrorWorld(fake, bundles)
