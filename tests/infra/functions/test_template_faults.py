"""Trouble at every call of a template's deployment: the run, or the next, arrives, and nothing is
made twice or lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra import execution
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.execution import Consent
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.scripts.package import Package
from tests.fakes.azure.faults import Fault
from tests.infra.functions.azure_account import AzureAccount, deploy
from tests.infra.functions.test_faults import killed_at

pytestmark = pytest.mark.faults
Versions = tuple[Bundle, Bundle, Bundle]
PACKAGE = Package("functions", "tiny-qa", Path("function.zip"), "", 0, "3.12", ())
CHANGED: dict[str, Any] = {"tags": {"team": "ml"}, "instance_memory_mb": 512}


def execute(cloud: FunctionsCloud) -> None:
    """As the command does, under the lease, which a run before may have died with."""
    consent = Consent(yes=True, terminal=False, always=True)
    execution.execute(lambda: cloud.plan_template(PACKAGE), cloud, consent, force=True)


@pytest.fixture(params=["fresh", "over"])
def begin(
    request: pytest.FixtureRequest, azure: AzureAccount, versions: Versions
) -> Iterator[Callable[[], FunctionsCloud]]:
    """begin(): the cloud, with nothing there, or an app that serves and other settings now."""
    polls, azure.fake.operations.polls = azure.fake.operations.polls, 0
    if request.param == "over":
        deploy(azure.cloud(), versions[0])
    state = azure.snapshot()

    def at() -> FunctionsCloud:
        azure.restore(state)
        cloud = azure.cloud(**CHANGED)
        azure.fake.restart_counting()
        return cloud

    yield at
    azure.fake.operations.polls = polls


def arrived(azure: AzureAccount, versions: Versions) -> None:
    """All is as the template says, and what served serves."""
    cloud = azure.cloud(**CHANGED)
    assert cloud.plan_template(PACKAGE).changes == ()
    if azure.serves():
        assert cloud.plan_deploy(versions[0]).changes == ()
        assert azure.tags()["onnxferry-version"] == versions[0].package.sha256


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.DROPPED_AFTER, Fault.EXPIRED])
def test_every_call_fails_once(
    fault: Fault, azure: AzureAccount, versions: Versions, begin: Callable[[], FunctionsCloud]
) -> None:
    cloud = begin()
    azure.fake.faults.every = fault
    try:
        for attempt in range(3):
            try:
                execute(cloud)
                break
            except CloudError as e:
                assert attempt < 2, e
    finally:
        azure.fake.faults.every = None
    arrived(azure, versions)


def test_killed_on_the_way(
    azure: AzureAccount, versions: Versions, begin: Callable[[], FunctionsCloud]
) -> None:
    """Azure goes on with what was begun, and the next run waits for that."""
    execute(begin())
    arrived(azure, versions)
    calls = list(azure.fake.calls)
    begun = [c.number for c in calls if str(c).startswith("PUT") and "/deployments/" in c.path]
    previewed = [c.number for c in calls if c.path.endswith("/whatIf")]
    for number in (previewed[0], begun[0], begun[0] + 4):
        cloud = begin()
        assert killed_at(azure, number, lambda: execute(cloud))  # noqa: B023
        execute(azure.cloud(**CHANGED))
        arrived(azure, versions)
