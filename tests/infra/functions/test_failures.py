"""What a user reads when it goes wrong: where, what, what next. No message shows a key, a token or
a payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import (
    CloudError,
    InvokeFailed,
    NameTaken,
    NotAllowed,
    NotFound,
    NotHealthy,
    PublishFailed,
    QuotaExceeded,
    Refused,
    TimedOut,
    Unavailable,
    WrongAnswer,
)
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.infra.plan import Action, Step
from onnxferry.system.console import Progress
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.login import SECRET, TOKEN
from tests.infra.functions.azure_account import APP, GROUP, QUESTION, AzureAccount, deploy, run
from tests.infra.quiet import QuietReport
from tests.infra.replaced import Replaced

Versions = tuple[Bundle, Bundle, Bundle]
SITE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Web/sites/{APP}"


@pytest.fixture
def failure(azure: AzureAccount) -> Callable[..., str]:
    """failure(kind, act): the message of the error that `act` raises."""

    def caught(kind: type[CloudError], act: Callable[[], object]) -> str:
        with pytest.raises(kind) as e:
            act()
        text = str(e.value)
        assert type(e.value) is kind, text
        assert not [s for s in (SECRET, TOKEN, "never-to-be-printed", "Dolly Rebecca") if s in text]
        return text

    return caught


Failure = Callable[..., str]


def test_a_name_that_somebody_has(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    azure.apps.taken.add(APP)
    text = failure(NameTaken, lambda: azure.cloud().plan_deploy(versions[0]))
    assert "app squad of resource group ml-rg" in text
    assert "--name" in text
    azure.apps.taken.clear()
    azure.accounts.taken.add(azure.names.account)
    text = failure(NameTaken, lambda: azure.cloud().plan_deploy(versions[0]))
    assert "storage_account in [functions]" in text
    assert azure.kinds() == []  # found out before anything was made


def test_an_app_that_onnxferry_did_not_make(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    deploy(azure.cloud(), versions[0])
    (azure.apps.site(APP) or {})["tags"] = {"owner": "somebody"}
    assert "did not make it" in failure(NameTaken, lambda: azure.cloud().plan_deploy(versions[1]))
    assert "did not make it" in failure(NameTaken, lambda: azure.cloud().plan_delete())


def test_a_region_without_flex_consumption(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    text = failure(NotFound, lambda: deploy(azure.cloud(location="moonbase1"), versions[0]))
    assert "moonbase1" in text
    assert "location" in text


def test_no_quota(azure: AzureAccount, versions: Versions, failure: Failure) -> None:
    azure.apps.no_quota = True
    text = failure(QuotaExceeded, lambda: deploy(azure.cloud(), versions[0]))
    assert "quota of 0 instances" in text
    assert "another location" in text


def test_a_missing_permission_is_named(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    azure.fake.arm.denied.add("PUT Microsoft.Authorization/roleAssignments")
    text = failure(NotAllowed, lambda: deploy(azure.cloud(), versions[0]))
    assert "Microsoft.Authorization/roleAssignments/write is missing" in text
    azure.fake.arm.denied.clear()
    deploy(azure.cloud(), versions[0])  # and goes on where it was


def given_account(azure: AzureAccount) -> None:
    """An account that the user has, with a container of theirs, and a right to its blobs that the
    user lacks."""
    azure.fake.store.put(azure.group_id, {"location": "westeurope", "properties": {}})
    facts = {
        "provisioningState": "Succeeded",
        "primaryEndpoints": {"blob": f"https://theirs.blob.core.localhost:{azure.fake.port}/"},
    }
    path = f"{azure.group_id}/providers/Microsoft.Storage/storageAccounts/theirs"
    azure.fake.store.put(path, {"location": "westeurope", "properties": facts})
    azure.blobs.create("theirs", "photos")
    azure.fake.store.put(f"{path}/blobServices/default/containers/photos", {"properties": {}})


def test_a_given_account_needs_a_data_role(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    given_account(azure)
    azure.blobs.denied.add("theirs")
    text = failure(NotAllowed, lambda: deploy(azure.cloud(storage_account="theirs"), versions[0]))
    assert "Storage Blob Data Contributor" in text
    assert "theirs" in text


def others(azure: AzureAccount) -> list[str]:
    """All that is there, without what the platform made beside Application Insights."""
    platforms = ("actionGroups ", "smartDetectorAlertRules ")
    return [kind for kind in azure.kinds() if not kind.startswith(platforms)]


def test_what_the_user_gave_stays(azure: AzureAccount, versions: Versions) -> None:
    given_account(azure)
    before = others(azure)
    cloud = azure.cloud(storage_account="theirs")
    deploy(cloud, versions[0])
    run(cloud.plan_delete(), cloud)
    assert others(azure) == before


def test_an_account_that_others_use_stays(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    account = azure.names.account_id
    azure.fake.store.put(f"{account}/blobServices/default/containers/photos", {"properties": {}})
    cloud = azure.cloud()
    run(cloud.plan_delete(), cloud)
    left = [kind for kind in others(azure) if not kind.startswith("roleAssignments")]
    assert left == [
        "containers photos",
        f"resourceGroups {GROUP}",
        f"storageAccounts {azure.names.account}",
    ]


def test_a_given_account_that_is_not_there(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    text = failure(NotFound, lambda: azure.cloud(storage_account="typo").plan_deploy(versions[0]))
    assert "storage_account" in text


def test_a_publication_that_fails_shows_its_log(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    azure.apps.publish_failures.append("Central Directory corrupt.")
    text = failure(PublishFailed, lambda: deploy(azure.cloud(), versions[0]))
    assert "app squad: the publication failed" in text
    assert "Central Directory corrupt." in text
    assert "Removed what was not proved" in text
    assert not [kind for kind in azure.kinds() if kind.startswith(("sites", "serverfarms"))]


def test_a_role_that_is_not_known_yet_is_waited_for(
    azure: AzureAccount, versions: Versions
) -> None:
    azure.apps.roles_unknown, azure.authorization.unknown, azure.apps.busy = 3, 2, 2
    deploy(azure.cloud(), versions[0])
    assert azure.serves() == versions[0].package.sha256


def sick(azure: AzureAccount, version: Bundle) -> FunctionsCloud:
    """A cloud where the host of `version` never comes up, and a short limit for waits."""
    azure.apps.sick.add(version.package.sha256)
    return azure.cloud(wait_minutes=0.02)


def test_the_role_of_an_app_that_is_gone_is_replaced(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    before = azure.apps.principals[APP]
    azure.fake.store.delete(azure.names.app_id(APP))  # by somebody, and its roles stayed
    azure.apps.principals.pop(APP)
    deploy(azure.cloud(), versions[0])
    after = azure.apps.principals[APP]
    assert after != before
    kinds = azure.fake.store.all("Microsoft.Authorization/roleAssignments")
    whose = [one["properties"]["principalId"] for one in kinds]
    assert (whose.count(before), whose.count(after)) == (0, 2)


def test_health_never_reached(azure: AzureAccount, versions: Versions, failure: Failure) -> None:
    deploy(azure.cloud(), versions[0])
    cloud = sick(azure, versions[1])
    text = failure(NotHealthy, lambda: deploy(cloud, versions[1]))
    assert "app squad-candidate" in text
    assert "no module named 'numpy'" in text
    assert "Deployment was successful." in text  # the log's tail
    assert azure.apps.history[-1][0] == f"{APP}-candidate"
    assert azure.serves() == versions[0].package.sha256


def test_a_wrong_answer_shows_both_and_takes_no_traffic(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    deploy(azure.cloud(), versions[0])
    azure.apps.answers[f"{APP}-candidate", versions[1].package.sha256] = b'{"answer": "Parton"}'
    text = failure(WrongAnswer, lambda: deploy(azure.cloud(), versions[1]))
    assert '"answer": "Dolly"' in text
    assert '{"answer": "Parton"}' in text
    assert azure.serves() == versions[0].package.sha256
    assert not [kind for kind in azure.kinds() if "candidate" in kind]


@pytest.mark.parametrize("trouble", ["wrong answer", "publication"])
def test_the_earlier_version_is_put_back(
    azure: AzureAccount, versions: Versions, failure: Failure, trouble: str
) -> None:
    one, two = (v.package.sha256 for v in versions[:2])
    deploy(azure.cloud(), versions[0])
    cloud = azure.cloud()
    if trouble == "wrong answer":
        azure.apps.answers[APP, two] = b'{"answer": "?"}'
        text = failure(WrongAnswer, lambda: deploy(cloud, versions[1]))
        assert [sha for app, sha in azure.apps.history if app == APP] == [one, two, one]
    else:
        plan = cloud.plan_deploy(versions[1])
        azure.apps.publish_failures += ["", "it broke"]  # the candidate's is good, the app's is not
        text = failure(PublishFailed, lambda: run(plan, cloud, versions[1]))
    assert "The earlier version serves again" in text
    assert azure.serves() == one
    assert (azure.tags()["onnxferry-version"], azure.tags()["onnxferry-publishing"]) == (one, "")


def test_a_rollback_that_fails_puts_the_later_version_back(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    one, two = (v.package.sha256 for v in versions[:2])
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    azure.apps.answers[APP, one] = b'{"answer": "?"}'
    cloud = azure.cloud()
    assert "serves again" in failure(WrongAnswer, lambda: run(cloud.plan_rollback(), cloud))
    assert azure.serves() == two


def test_a_previous_package_that_is_gone(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    azure.blobs.accounts[azure.names.account]["onnxferry-packages"].pop(
        f"{APP}/{versions[0].package.sha256}.zip"
    )
    text = failure(NotFound, lambda: azure.cloud().plan_rollback())
    assert "no longer in container onnxferry-packages" in text


def test_a_package_that_was_changed_in_storage(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    blob = azure.blobs.accounts[azure.names.account]["onnxferry-packages"][
        f"{APP}/{versions[0].package.sha256}.zip"
    ]
    blob.data = b"something else"
    cloud = azure.cloud()
    assert "not those that were uploaded" in failure(
        CloudError, lambda: run(cloud.plan_rollback(), cloud)
    )
    assert azure.serves() == versions[1].package.sha256


def test_an_update_that_was_cut_off_is_rolled_back_to_what_served(
    azure: AzureAccount, versions: Versions
) -> None:
    for version in versions[:2]:
        deploy(azure.cloud(), version)
    (azure.apps.site(APP) or {})["tags"]["onnxferry-publishing"] = versions[2].package.sha256
    cloud = azure.cloud()
    run(cloud.plan_rollback(), cloud)
    assert (cloud.status().version, cloud.status().previous) == (
        versions[1].version,
        versions[0].version,
    )


def test_a_publication_without_end_times_out(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    deploy(azure.cloud(), versions[0])
    plan = azure.cloud().plan_deploy(versions[0])
    azure.apps.busy = 10**6
    cloud = azure.cloud(wait_minutes=0.01)
    assert plan.changes == ()
    text = failure(TimedOut, lambda: cloud.execute(_publish(versions[0]), lambda text: None))
    assert "another publication is in progress" in text
    assert "wait_minutes" in text


def _publish(version: Bundle) -> Step:
    return Step(Action.UPDATE, "package of app", APP, "publish", {"sha256": version.package.sha256})


def test_invoke_without_an_app_or_an_answer(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    assert "deploy it first" in failure(NotFound, lambda: azure.cloud().invoke(QUESTION, 5))
    deploy(azure.cloud(), versions[0])
    (azure.apps.site(APP) or {})["properties"]["defaultHostName"] = "localhost:1"
    assert "no connection" in failure(InvokeFailed, lambda: azure.cloud().invoke(QUESTION, 5))


def test_a_body_that_azure_refuses_is_a_refusal(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    azure.fake.arm.refusals["microsoft.web/sites"] = (
        400,
        "BadRequest",
        "The value of 'x' is invalid.",
    )
    assert "The value of 'x' is invalid" in failure(
        Refused, lambda: deploy(azure.cloud(), versions[0])
    )


def test_logs_say_what_there_is(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    text = azure.cloud().logs(100)
    assert "Deployment was successful." in text
    assert text.endswith("host: Running")
    assert azure.cloud().logs(1) == "host: Running"


@pytest.fixture(autouse=True)
def clean(azure: AzureAccount) -> Iterator[None]:
    yield
    azure.apps.publish_failures.clear()


def test_what_is_proved_stays_though_its_tag_cannot_be_written(
    azure: AzureAccount, versions: Versions, failure: Failure
) -> None:
    deploy(azure.cloud(), versions[0])
    cloud = azure.cloud()

    def untagged(step: Step, progress: Progress) -> None:
        raise Unavailable("no tags today")

    plan = cloud.plan_deploy(versions[1])
    text = failure(
        Unavailable,
        lambda: apply(plan, Replaced(cloud, {"record_version": untagged}), QuietReport()),
    )
    assert text.startswith("no tags today")
    assert azure.serves() == versions[1].package.sha256
    deploy(azure.cloud(), versions[1])
    assert azure.tags()["onnxferry-version"] == versions[1].package.sha256
    run(azure.cloud().plan_rollback(), azure.cloud())
    assert azure.serves() == versions[0].package.sha256
