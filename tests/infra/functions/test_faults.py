"""Trouble at every call of every flow: the run, or the next, arrives, and what served goes on
serving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra import execution
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.execution import Consent
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.infra.plan import Plan
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import Killed
from tests.fakes.azure.providers import given
from tests.fakes.azure.providers.authorization import BLOB_ROLES
from tests.fakes.azure.providers.insights import PUBLISHER
from tests.infra.functions.azure_account import APP, ENTRA, AzureAccount, deploy

pytestmark = pytest.mark.faults
Versions = tuple[Bundle, Bundle, Bundle]


@dataclass(frozen=True)
class Flow:
    """`act` on what `before` versions were deployed, one after the other, and what serves `then`
    (None: nothing); `settings` are those of deploy.toml meanwhile. ALL_SET is two versions with
    every setting."""

    before: int
    act: Callable[[FunctionsCloud, Versions], Any]
    then: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)


def execute(planned_by: Callable[[], Plan], cloud: FunctionsCloud) -> None:
    """As the command does, under the lease, which a run before may have died with."""
    execution.execute(planned_by, cloud, Consent(yes=True, terminal=False), force=True)


def roll_back(cloud: FunctionsCloud, versions: Versions) -> None:
    """Go back to the first version, unless a run that was cut off did."""
    if cloud.status().version != versions[0].version:
        execute(cloud.plan_rollback, cloud)


def deploying(version: int) -> Callable[[FunctionsCloud, Versions], None]:
    return lambda cloud, versions: execute(lambda: cloud.plan_deploy(versions[version]), cloud)


_GIVEN = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/networks"
SUBNET = f"{_GIVEN}/providers/{given.NETWORKS}/net/subnets/apps"
IDENTITY = f"{_GIVEN}/providers/{given.IDENTITIES}/serving"
EVERYTHING: Mapping[str, Any] = {
    "environment": {"ONNXFERRY_ENGINE_THREADS": "2"},
    "http_concurrency": 9,
    "always_ready": 1,
    "tags": {"team": "ml"},
    "subnet": SUBNET,
    "identity": IDENTITY,
    "allow_urls": True,
    **ENTRA,
}
ALL_SET = 3  # the last of the states
FLOWS = {
    "first deployment": Flow(0, deploying(0), 0),
    "update": Flow(2, deploying(2), 2),
    "settings": Flow(2, deploying(1), 1, EVERYTHING),
    "settings that leave": Flow(ALL_SET, deploying(1), 1),
    "rollback": Flow(2, roll_back, 0),
    "delete": Flow(2, lambda cloud, versions: execute(cloud.plan_delete, cloud), None),
}


@pytest.fixture(scope="module")
def states(shared_account: tuple[AzureAccount, Any], versions: Versions) -> list[Any]:
    """The state with none, one and two versions deployed; operations end at their first poll."""
    account, empty = shared_account
    account.restore(empty)
    _give(account)
    empty = account.snapshot()
    polls, account.fake.operations.polls = account.fake.operations.polls, 0
    found = [empty]
    for version in versions[:2]:
        deploy(account.cloud(), version)
        found.append(account.snapshot())
    deploy(account.cloud(**EVERYTHING), versions[1])
    found.append(account.snapshot())
    account.fake.operations.polls = polls
    return found


def _give(azure: AzureAccount) -> None:
    """In a group of the user's: a subnet, and an identity with the roles that it needs."""
    given.subnet(azure.fake, _GIVEN)
    given.identity(azure.fake, _GIVEN)
    principal = (azure.fake.store.get(IDENTITY) or {})["properties"]["principalId"]
    for role in (BLOB_ROLES[0], PUBLISHER):
        facts = {"principalId": principal, "roleDefinitionId": f"/x/{role}"}
        path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments"
        azure.fake.store.put(f"{path}/{role}", {"properties": facts})


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed cannot remove its temporary folder: pytest does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def begin(azure: AzureAccount, states: list[Any]) -> Iterator[Callable[[Flow], FunctionsCloud]]:
    """begin(flow): its cloud, in the state that it starts from, with no call counted."""
    polls, azure.fake.operations.polls = azure.fake.operations.polls, 0

    def at(flow: Flow) -> FunctionsCloud:
        azure.restore(states[flow.before])
        azure.apps.history.clear()
        azure.apps.opened.clear()
        cloud = azure.cloud(**flow.settings)
        azure.fake.restart_counting()
        return cloud

    yield at
    azure.fake.operations.polls = polls


def arrived(azure: AzureAccount, flow: Flow, versions: Versions) -> None:
    """All is as after a run without trouble, and at no time did an unproved version serve, or
    none."""
    wanted = versions[flow.then].package.sha256 if flow.then is not None else ""
    assert azure.serves() == wanted
    assert azure.apps.unproved == []
    assert azure.apps.opened == []  # no stranger was let in
    if not wanted:
        theirs = [kind for kind in azure.kinds() if not kind.startswith(("sites", "serverfarms"))]
        assert azure.kinds() == theirs
        assert azure.fake.store.get(azure.group_id) is None
        return
    assert (azure.tags()["onnxferry-version"], azure.tags()["onnxferry-publishing"]) == (wanted, "")
    assert (APP, "") not in azure.apps.history
    assert not [kind for kind in azure.kinds() if "candidate" in kind]
    assert azure.cloud(**flow.settings).plan_deploy(versions[flow.then or 0]).changes == ()


@contextmanager
def every_call(azure: AzureAccount, fault: Fault) -> Iterator[None]:
    """Each call meets the fault, and its repetition does not."""
    azure.fake.faults.every = fault
    yield
    azure.fake.faults.every = None


@pytest.mark.parametrize(
    "fault",
    [
        Fault.THROTTLED,
        Fault.BROKEN,
        Fault.DROPPED_BEFORE,
        Fault.DROPPED_AFTER,
        Fault.LATE,
        Fault.EXPIRED,
    ],
)
@pytest.mark.parametrize("name", FLOWS)
def test_every_call_fails_once(
    name: str,
    fault: Fault,
    azure: AzureAccount,
    versions: Versions,
    begin: Callable[[Flow], FunctionsCloud],
) -> None:
    flow = FLOWS[name]
    cloud = begin(flow)
    with every_call(azure, fault):
        # most calls are repeated by the SDKs; a run may still give up, and the next goes on
        for attempt in range(3):
            try:
                flow.act(cloud, versions)
                break
            except CloudError as e:
                assert attempt < 2, e
    arrived(azure, flow, versions)


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
@pytest.mark.parametrize("name", FLOWS)
def test_a_clock_that_is_wrong_and_answers_after_half_a_minute(
    name: str,
    ahead: float,
    azure: AzureAccount,
    versions: Versions,
    begin: Callable[[Flow], FunctionsCloud],
) -> None:
    """The cloud's clock is hours before or behind this machine's, and every answer takes 30 s by
    it."""
    flow = FLOWS[name]
    cloud, azure.fake.clock.ahead = begin(flow), ahead
    with every_call(azure, Fault.SLOW):
        flow.act(cloud, versions)
    azure.fake.clock.ahead = 0.0
    arrived(azure, flow, versions)


def killed_at(azure: AzureAccount, number: int, act: Callable[[], object]) -> bool:
    """Run `act`, whose process dies when the call of that number has been handled; whether it came
    so far."""
    azure.fake.faults.deaths = set(range(number, number + 500))
    try:
        act()
    except Killed:
        return True
    finally:
        azure.fake.faults.deaths = set()
    return False


# POST, and changes nothing
READS = (
    "/list",
    "/listkeys",
    "/token",
    "/checknameavailability",
    "/api/score",
    "/syncfunctiontriggers",
)


def changes(azure: AzureAccount) -> dict[int, str]:
    """The calls so far that changed something, by their numbers."""
    calls = ((call.number, str(call)) for call in azure.fake.calls)
    return {
        number: call
        for number, call in calls
        if not call.startswith(("GET", "HEAD")) and not call.lower().endswith(READS)
    }


def repeated(name: str, call: str) -> bool:
    """Whether `call` does the same in two flows, and is troubled in the other."""
    if name.startswith("settings") and ("candidate" in call or "blob" in call):
        return "authsettings" not in call
    return name != "update" and call.endswith("lease.json")


@pytest.mark.parametrize("name", FLOWS)
def test_killed_after_every_change(
    name: str, azure: AzureAccount, versions: Versions, begin: Callable[[Flow], FunctionsCloud]
) -> None:
    """After a call that only reads, the cloud is as after the change before it, so changes are what
    counts."""
    flow = FLOWS[name]
    flow.act(begin(flow), versions)
    made = changes(azure)
    arrived(azure, flow, versions)
    for number, call in made.items():
        if repeated(name, call):
            continue
        cloud = begin(flow)
        assert killed_at(azure, number, lambda: flow.act(cloud, versions)), call  # noqa: B023
        assert flow.then is None or flow.before == 0 or azure.serves(), call
        flow.act(azure.cloud(**flow.settings), versions)
        arrived(azure, flow, versions)
