"""Whatever else is in the subscription, and whatever flow runs: nothing of others' changes.

2,000 worlds with `-m worlds` (make worlds); some in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.infra.plan import Plan
from tests.infra.functions.azure_account import APP, AzureAccount, deploy
from tests.infra.functions.worlds import WORLDS, Foreign, foreign
from tests.infra.quiet import QuietReport

Versions = tuple[Bundle, Bundle, Bundle]
Planned = Callable[[FunctionsCloud, Versions], Plan]
Flow = tuple[Planned, str, Mapping[str, Any]]  # which app answers wrongly; settings of deploy.toml
CHANGED: Mapping[str, Any] = {
    "instance_memory_mb": 4096,
    "http_concurrency": 4,
    "environment": {"ONNXFERRY_ENGINE_THREADS": "2"},
    "tags": {"team": "ml"},
}
PLANS: Mapping[str, Planned] = {
    "deploy": lambda cloud, versions: cloud.plan_deploy(versions[1]),
    "deploy another": lambda cloud, versions: cloud.plan_deploy(versions[2]),
    "roll back": lambda cloud, versions: cloud.plan_rollback(),
    "delete": lambda cloud, versions: cloud.plan_delete(),
    "delete unproved": lambda cloud, versions: cloud.plan_delete_unproved(),
}
FAILS = ("", "candidate", "app")


@dataclass(frozen=True)
class Start:
    """What worlds begin with: the account, the versions, and the states with none, one and two of
    them deployed, in a resource group of the user's and in one of ours."""

    azure: AzureAccount = field(repr=False)
    versions: Versions = field(repr=False)
    states: list[Any] = field(repr=False)


@pytest.fixture(scope="module")
def start(shared_account: tuple[AzureAccount, Any], versions: Versions) -> Iterator[Start]:
    account, empty = shared_account
    found, polls, account.fake.operations.polls = [], account.fake.operations.polls, 0
    for given_group in (True, False):
        account.restore(empty)
        if given_group:
            account.fake.store.put(account.group_id, {"location": "westeurope", "properties": {}})
        found.append(account.snapshot())
        for version in versions[:2]:
            deploy(account.cloud(), version)
            found.append(account.snapshot())
    yield Start(account, versions, found)
    account.fake.operations.polls = polls


def check(start: Start, state: int, world: list[Foreign], flow: Flow) -> None:
    """Put `world` beside what is there, run `flow`, and compare."""
    azure, versions = start.azure, start.versions
    azure.restore(start.states[state])
    for thing in world:
        thing.place(azure)
    before, (planned, fails, own) = foreign(azure), flow
    wrong = {"candidate": f"{APP}-candidate", "app": APP}.get(fails, "")
    azure.apps.answers = {(wrong, v.package.sha256): b'{"answer": "?"}' for v in versions[1:]}
    cloud = azure.cloud(**own)
    with suppress(CloudError):
        apply(planned(cloud, versions), cloud, QuietReport())
    after = foreign(azure, before)
    gone = {key for key in before if key not in after}
    excused = {key for key in gone if _went_with_ours(azure, key)}
    assert gone == excused, (gone - excused, world)
    assert {k: v for k, v in before.items() if k not in gone} == {
        k: v for k, v in after.items() if k in before
    }


def _went_with_ours(azure: AzureAccount, key: tuple[str, ...]) -> bool:
    """What others attached to a thing of ours goes with it: an app's settings, a tag, a role."""
    if key[0] == "of app":
        return azure.apps.site(APP) is None
    if key[0] == "tag":
        return azure.fake.store.get(key[1]) is None
    scope, role, _ = key[1].partition("/providers/microsoft.authorization/roleassignments/")
    return key[0] == "resource" and bool(role) and azure.fake.store.get(scope) is None


FLOWS = st.tuples(
    st.sampled_from(list(PLANS.values())), st.sampled_from(FAILS), st.sampled_from([{}, CHANGED])
)
# not made smaller when it fails: a world is small, and that takes longer than the rest
LOOSE: Mapping[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    "phases": [Phase.generate],
    "database": None,
}


@settings(max_examples=15, **LOOSE)
@given(world=WORLDS, state=st.integers(0, 5), flow=FLOWS)
def test_nothing_foreign_changes(
    start: Start, world: list[Foreign], state: int, flow: Flow
) -> None:
    check(start, state, world, flow)


@pytest.mark.worlds
@pytest.mark.timeout(7200)
@settings(max_examples=2000, **LOOSE)
@given(world=WORLDS, state=st.integers(0, 5), flow=FLOWS)
def test_nothing_foreign_changes_in_many_worlds(
    start: Start, world: list[Foreign], state: int, flow: Flow
) -> None:
    check(start, state, world, flow)
