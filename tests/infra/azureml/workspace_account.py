"""A subscription on loopback with an empty resource group, in which a workspace can be made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml import connect as connect_endpoint
from onnxferry.infra.azureml.workspace import connect
from onnxferry.infra.azureml.workspace.cloud import WorkspaceCloud
from onnxferry.infra.azureml.workspace.names import WorkspaceNames
from onnxferry.infra.cloud import OnlineEndpoint
from onnxferry.infra.plan import Plan
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.authorization import Authorization
from tests.fakes.azure.providers.deployments import Deployments
from tests.fakes.azure.providers.insights import FakeInsights
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.fakes.azure.providers.quotas import Quotas
from tests.fakes.azure.providers.storage import StorageAccounts
from tests.fakes.azure.providers.workspaces import Workspaces
from tests.infra.azureml.conftest import NAME, QUICK, config
from tests.infra.quiet import QuietReport

NAMES = WorkspaceNames(SUBSCRIPTION, "rg", "work")


@dataclass
class WorkspaceAccount:
    """The fake with the services of a workspace. `snapshot` and `restore` keep and put back what is
    there."""

    fake: AzureFake
    authorization: Authorization = field(init=False)
    accounts: StorageAccounts = field(init=False)
    ml: MachineLearning = field(init=False)
    workspaces: Workspaces = field(init=False)
    deployments: Deployments = field(init=False)

    def __post_init__(self) -> None:
        fake = self.fake
        self.authorization = Authorization(fake, fake.blobs)
        self.accounts = StorageAccounts(fake, fake.blobs)
        insights, self.ml = FakeInsights(fake), MachineLearning(fake)
        services = (self.authorization, self.accounts, insights)
        fake.arm.add(*resources.TYPES, *(t for service in services for t in service.types))
        fake.add(*resources.routes(fake), *(r for s in services for r in s.routes))
        Quotas(fake)
        self.workspaces, self.deployments = Workspaces(fake), Deployments(fake)
        fake.add(*self.deployments.routes)
        fake.store.put(NAMES.group_id, {"location": "westeurope"})

    def cloud(self, **settings: Any) -> WorkspaceCloud:
        """The workspace, with a clock that hardly waits."""
        return connect(config(**settings), clock=QUICK)

    def endpoint(self, **settings: Any) -> OnlineEndpoint:
        """An endpoint in it."""
        return connect_endpoint(config(**settings), NAME, QUICK)

    def resource(self, part: str) -> dict[str, Any]:
        """A part of the workspace as it is there; {} where it is not."""
        return self.fake.store.get(NAMES.id(part)) or {}

    def kinds(self) -> list[str]:
        """The types of what is there, without what services made by themselves."""
        found = (one["type"] for one in self.fake.store.everything())
        return sorted(kind for kind in found if not kind.lower().startswith("microsoft.alerts"))

    def snapshot(self) -> Any:
        """A copy of what is there."""
        blobs = self.fake.blobs
        return copy.deepcopy(
            (self.fake.store.__dict__, blobs.accounts, blobs.denied, blobs.keyless)
        )

    def restore(self, state: Any) -> None:
        """Put `state` back, and forget calls, operations and what was asked to go wrong."""
        fake = self.fake
        store, *blobs = copy.deepcopy(state)
        fake.store.__dict__.update(store)
        fake.blobs.accounts, fake.blobs.denied, fake.blobs.keyless = blobs
        self.workspaces.deleted.clear()
        self.workspaces.taken.clear()
        self.deployments.known.clear()
        fake.operations.forget()
        for kept in (fake.arm.failures, fake.arm.refusals, fake.faults.at):
            kept.clear()
        fake.faults.every = None
        fake.authorizer.allows = lambda permission: True
        fake.restart_counting()


@contextmanager
def workspace_account(
    keep: Callable[[Iterable[tuple[str, str, Any]]], None] = lambda puts: None,
) -> Iterator[WorkspaceAccount]:
    """The account, found by the SDKs of this process; `keep` gets the bodies that it was sent."""
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        yield WorkspaceAccount(fake)
        keep(fake.arm.puts)


def run(plan: Plan, cloud: WorkspaceCloud) -> Plan:
    """Apply `plan`, and return it."""
    apply(plan, cloud, QuietReport())
    return plan
