"""Trouble at the calls of a workspace template's deployment: the run, or the next, arrives, and
nothing is made twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra import execution
from onnxferry.infra.errors import CloudError
from onnxferry.infra.execution import Consent
from onnxferry.scripts.package import Package
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed
from tests.infra.azureml.workspace_account import WorkspaceAccount, workspace_account

pytestmark = pytest.mark.faults
PACKAGE = Package("azureml", "tiny-qa", Path("package"), "", 0, "3.12", ())


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[WorkspaceAccount, Any]]:
    with workspace_account() as account:
        account.fake.operations.polls = 0
        account.authorization.spreading = 0
        yield account, account.snapshot()


@pytest.fixture
def empty(kept: tuple[WorkspaceAccount, Any]) -> Any:
    """The state in which nothing is there."""
    return kept[1]


@pytest.fixture
def account(kept: tuple[WorkspaceAccount, Any], empty: Any) -> WorkspaceAccount:
    kept[0].restore(empty)
    return kept[0]


def execute(account: WorkspaceAccount, deaths: Collection[int] = ()) -> None:
    """As the command does; its first call has number 0."""
    faults, consent = account.fake.faults, Consent(yes=True, terminal=False, always=True)
    faults.every, every = None, faults.every
    cloud = account.cloud()  # which reads where the fake is
    faults.every = every
    account.fake.restart_counting()
    account.fake.faults.deaths = set(deaths)
    execution.execute(lambda: cloud.plan_template(PACKAGE), cloud, consent)


def arrived(account: WorkspaceAccount) -> None:
    """All is as the template says, once."""
    assert account.cloud().plan_template(PACKAGE).changes == ()
    spaces = account.fake.store.all("Microsoft.MachineLearningServices/workspaces")
    assert [one["name"] for one in spaces] == ["work"]


def killed_at(account: WorkspaceAccount, number: int) -> bool:
    """A run whose process dies when the call of that number has been handled; whether it came so
    far."""
    faults = account.fake.faults
    try:
        execute(account, deaths=set(range(number, number + 500)))
    except Killed:
        return True
    finally:
        faults.deaths = set()
    return False


@pytest.mark.parametrize(
    "fault",
    [
        Fault.DROPPED_AFTER,
        *(pytest.param(one, marks=pytest.mark.series) for one in (Fault.THROTTLED, Fault.EXPIRED)),
    ],
)
def test_every_call_fails_once(account: WorkspaceAccount, fault: Fault) -> None:
    account.fake.faults.every = fault
    for attempt in range(3):
        try:
            execute(account)
            break
        except CloudError as e:
            assert attempt < 2, e
    account.fake.faults.every = None
    arrived(account)


def test_killed_on_the_way(account: WorkspaceAccount, empty: Any) -> None:
    """Azure goes on with what was begun, and the next run waits for that."""
    execute(account)
    (begun,) = (c.number for c in account.fake.calls if str(c).startswith("PUT"))
    account.restore(empty)
    assert killed_at(account, begun)
    execute(account)
    arrived(account)


@pytest.mark.series
def test_killed_after_each_call(account: WorkspaceAccount, empty: Any) -> None:
    """But those of a poller's own thread, which only read."""
    execute(account)
    for call in [c for c in account.fake.calls if "operationresults" not in c.path]:
        account.restore(empty)
        assert killed_at(account, call.number), call
        execute(account)
        arrived(account)


@pytest.mark.series
def test_each_permission_is_missing_once(account: WorkspaceAccount, empty: Any) -> None:
    """What is refused is named, and the next run arrives. What the roles of the template give is
    waited for instead."""
    execute(account)
    used = sorted(account.fake.authorizer.used)
    for asked in (one for one in used if not one.data and "/datastores/" not in one.action):
        account.restore(empty)
        account.fake.authorizer.allows = lambda one: one != asked  # noqa: B023
        try:
            execute(account)
        except CloudError as e:
            assert asked.action.lower() in str(e).lower(), e
        account.fake.authorizer.allows = lambda permission: True
        execute(account)
        arrived(account)
