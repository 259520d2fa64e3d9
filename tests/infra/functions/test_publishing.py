"""Which failed publications are sent again, how often and how long; and what is said in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotAllowed, PublishFailed, TimedOut
from tests.infra.functions.azure_account import APP, AzureAccount, Hours, by, deploy, run

Versions = tuple[Bundle, Bundle, Bundle]


@pytest.fixture
def hours(azure: AzureAccount) -> Iterator[Hours]:
    polls, azure.fake.operations.polls = azure.fake.operations.polls, 0
    yield Hours()
    azure.fake.operations.polls = polls


def sent(azure: AzureAccount) -> int:
    return len([call for call in azure.fake.calls if call.path == "/api/publish"])


def test_a_firewalls_refusal_is_not_sent_again(
    azure: AzureAccount, versions: Versions, hours: Hours
) -> None:
    deploy(azure.cloud(), versions[0])
    azure.fake.restart_counting()
    plan = azure.cloud().plan_deploy(versions[1])
    azure.apps.walled.add(f"{APP}-candidate")
    with pytest.raises(PublishFailed, match="firewall does not let the app in") as e:
        run(plan, by(hours, azure.cloud()))
    assert "This request is not authorized to perform this operation.)" in str(e.value)
    assert sent(azure) == 1
    assert azure.serves() == versions[0].package.sha256


def test_a_missing_role_is_waited_for_some_minutes_with_pauses(
    azure: AzureAccount, versions: Versions, hours: Hours
) -> None:
    azure.apps.roles_unknown = 10**6
    with pytest.raises(PublishFailed, match="though it has had the role") as e:
        run(azure.cloud().plan_deploy(versions[0]), by(hours, azure.cloud()))
    assert "using this permission" in str(e.value)  # the last log
    assert 400 < hours.time < 1000
    assert sent(azure) <= 10


def test_a_role_that_comes_late_is_enough(
    azure: AzureAccount, versions: Versions, hours: Hours
) -> None:
    azure.apps.roles_unknown = 4
    run(azure.cloud().plan_deploy(versions[0]), by(hours, azure.cloud()))
    assert azure.serves() == versions[0].package.sha256


def test_so_is_the_users_own(azure: AzureAccount, versions: Versions, hours: Hours) -> None:
    """The role for the upload, which deploying gives, holds after some minutes; not behind a
    firewall."""
    azure.authorization.spreading = 20
    run(azure.cloud().plan_deploy(versions[0]), by(hours, azure.cloud()))
    assert azure.serves() == versions[0].package.sha256


def test_a_users_own_role_that_never_holds(
    azure: AzureAccount, versions: Versions, hours: Hours
) -> None:
    azure.authorization.spreading = 10**6
    with pytest.raises(TimedOut, match="Storage Blob Data Contributor"):
        run(azure.cloud().plan_deploy(versions[0]), by(hours, azure.cloud()))
    assert 500 < hours.time < 1000


def test_a_firewall_before_the_users_own_machine(
    azure: AzureAccount, versions: Versions, hours: Hours
) -> None:
    deploy(azure.cloud(), versions[0])
    plan = azure.cloud().plan_deploy(versions[1])
    azure.blobs.walled.add(azure.names.account)
    with pytest.raises(NotAllowed, match="firewall must let this machine in"):
        run(plan, by(hours, azure.cloud()))
    assert hours.time == 0
