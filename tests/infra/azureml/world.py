"""One workspace for many flows: its state is put back before each, and compared after it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from onnxferry.infra import azureml
from onnxferry.infra.azureml.desired import desired_state
from onnxferry.infra.azureml.names import DEPLOYED
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.waiting import Clock
from tests.fakes.azure import AzureFake
from tests.fakes.azure.faults import Faults
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.quotas import Quotas
from tests.infra.azureml.conftest import NAME, config, deploy

ACCOUNT, CONTAINER = "wsstore", "azureml-blobstore"


class World:
    """A fake with a workspace, and its states with nothing, "a", and "a" then "b" deployed."""

    def __init__(self, azure: AzureFake, bundles: dict[str, Bundle]) -> None:
        self.azure, self.ml = azure, MachineLearning(azure)
        Quotas(azure)
        self.ml.workspace()
        self.bundles = {name: slim(bundle) for name, bundle in bundles.items()}
        self.cloud = self.connected()
        azure.operations.polls = 1
        self.states = {"": self.copy()}
        for upto in ("a", "ab"):
            deploy(self.cloud, self.bundles[upto[-1]])
            self.states[upto] = self.copy()
        self.ours = tuple(self.blobs)  # names of files
        self.clouds = {True: self.cloud, False: self.connected(keep_previous=False)}
        (endpoint,), deployments = azure.store.all(ENDPOINTS), azure.store.all(DEPLOYMENTS)
        self.templates = copy.deepcopy({"endpoint": endpoint, "deployment": next(deployments)})

    def connected(self, **changes: Any) -> OnlineEndpoint:
        """The endpoint, whose waits see the fake's time pass."""
        clock = Clock(now=self.azure.clock.now, sleep=lambda seconds: None, interval=0)
        return azureml.connect(config(**changes), NAME, clock)

    @property
    def blobs(self) -> dict[str, Any]:
        """The datastore's, by name."""
        return self.azure.blobs.accounts[ACCOUNT][CONTAINER]

    @cached_property
    def model_of(self) -> dict[str, str]:
        """The version of the model in each bundle."""
        settings = config().azureml
        assert settings
        desired = {name: desired_state(one, settings) for name, one in self.bundles.items()}
        return {name: one.versions["model"] for name, one in desired.items()}

    def parts(self) -> tuple[Any, ...]:
        """All that changes."""
        ml, azure = self.ml, self.azure
        return (
            azure.store._resources,
            azure.blobs.accounts,
            ml.history,
            ml.proved,
            ml.routed,
            ml.answers,
            ml.statuses,
            ml.latency,
            ml.due,
            ml.monitor.scored,
        )

    def copy(self) -> Any:
        """The state of now."""
        return copy.deepcopy(self.parts())

    def put_back(self, state: Any) -> None:
        """Be as when that state was copied, with nothing under way and no call counted."""
        self.azure.operations.forget()
        for part, kept in zip(self.parts(), copy.deepcopy(state), strict=True):
            part.clear()
            part.extend(kept) if isinstance(part, list) else part.update(kept)
        self.azure.faults = Faults(self.azure.clock)
        self.azure.clock.ahead = 0
        self.azure.restart_counting()

    def reached(self) -> Any:
        """What an endpoint's owner sees: all that is there, how it is, and what serves."""
        found = [
            (
                r["id"].lower(),
                (r.get("properties") or {}).get("provisioningState", ""),
                sorted((k, v) for k, v in (r.get("tags") or {}).items() if k != DEPLOYED),
            )
            for r in self.azure.store._resources.values()
        ]
        return sorted(found), self.azure.blobs.names(ACCOUNT, CONTAINER), self.ml.routed


@contextmanager
def world(bundles: dict[str, Bundle]) -> Iterator[World]:
    """A world without sockets."""
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        yield World(fake, bundles)


def slim(bundle: Bundle) -> Bundle:
    """With one file of code, so that there are fewer calls that are all alike."""
    package = bundle.package
    members = tuple(
        m for m in package.members if m.path.startswith("model/") or m.path == "code/score.py"
    )
    return replace(bundle, package=replace(package, members=members))
