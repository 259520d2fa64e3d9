"""Trouble at every call of every flow of an endpoint that is autoscaled, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from tests.fakes.azure import AzureFake
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.autoscale import SETTINGS
from tests.fakes.azure.providers.computes import attach_cluster
from tests.infra.azureml import test_faults as faults
from tests.infra.azureml.test_faults import FLOWS, REFUSALS, Flows
from tests.infra.azureml.test_kubernetes import SERVING
from tests.infra.azureml.world import World

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
_OFTEN = "roll back"


def _rarely(name: str, fault: Fault | None = None) -> Any:
    often = name == _OFTEN and fault in (None, Fault.BROKEN)
    values = (name,) if fault is None else (name, fault)
    return pytest.param(*values, marks=[] if often else pytest.mark.series)


class ScaledWorld(World):
    """Its endpoints are autoscaled."""

    def connected(self, **changes: Any) -> OnlineEndpoint:
        """See World."""
        return super().connected(**{"scaling": {"max": 3, "target": 70}, **changes})

    def reached(self) -> Any:
        """See World: with the limits of each setting."""
        limits = {
            one["name"]: [profile["capacity"] for profile in one["properties"]["profiles"]]
            for one in self.azure.store.all(SETTINGS)
        }
        return (*super().reached(), limits)


class ClusterWorld(World):
    """Its endpoints are on a Kubernetes cluster."""

    def connected(self, **changes: Any) -> OnlineEndpoint:
        """See World."""
        if not self.azure.store.get(f"{self.ml.workspace()}/computes/cluster"):
            attach_cluster(self.azure, self.ml.workspace())
        return super().connected(serving=SERVING, **changes)


@pytest.fixture(
    scope="module", params=[ScaledWorld, pytest.param(ClusterWorld, marks=pytest.mark.series)]
)
def flows(
    request: pytest.FixtureRequest,
    versions: dict[str, Bundle],
    keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None],
) -> Iterator[Flows]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        yield Flows(request.param(fake, versions), FLOWS)
        keep_bodies(fake.arm.puts)


@pytest.mark.parametrize("name", list(map(_rarely, FLOWS)))
def test_killed(flows: Flows, name: str) -> None:
    faults.test_killed_after_each_change(flows, name)


@pytest.mark.parametrize(
    ("name", "fault"), [_rarely(name, fault) for name in FLOWS for fault in REFUSALS]
)
def test_refused(flows: Flows, name: str, fault: Fault) -> None:
    faults.test_each_call_fails_and_then_does_not(flows, name, fault)
