"""The environment that deploy.toml gives an app, beside the settings that others have there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotHealthy, PublishFailed, WrongAnswer
from onnxferry.infra.functions.app_settings import RECORD, TELEMETRY
from onnxferry.infra.functions.desired import AUTH, URLS
from onnxferry.infra.functions.sizing import Need, sizing
from tests.infra.functions.azure_account import APP, AzureAccount, deploy, run
from tests.infra.quiet import QuietReport

Versions = tuple[Bundle, Bundle, Bundle]
THEIRS = "never-to-be-printed"
ALWAYS = {*TELEMETRY, AUTH, URLS, *sizing(2048, Need(0)).settings}
TWO, FOUR = ({"ONNXFERRY_LIMIT_ITEMS": number} for number in ("2", "4"))


def settings(azure: AzureAccount, app: str = APP) -> dict[str, str]:
    """All settings but those that every app has: of the storage account, of Application Insights,
    and those that deploy.toml's keys stand for."""
    found = azure.apps.settings(app)
    storage = [found.pop(name) for name in list(found) if name.startswith("AzureWebJobsStorage")]
    assert len(storage) == 2
    always = [found.pop(name) for name in ALWAYS]
    assert all(always)
    ours = [name for name in found.pop(RECORD).split() if name not in ALWAYS]
    return {**found, **({RECORD: " ".join(ours)} if ours else {})}


def add(azure: AzureAccount, **values: str) -> None:
    """The user sets these in the portal."""
    azure.apps.put_settings(APP, {**azure.apps.settings(APP), **values})


def test_it_is_there_from_the_beginning_and_then_there_is_nothing_to_do(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud(environment={**TWO, "TEAM": "ml"})
    plan = cloud.plan_deploy(versions[0])
    assert '"ONNXFERRY_LIMIT_ITEMS"' in plan.to_json()
    run(plan, cloud, versions[0])
    assert settings(azure) == {**TWO, "TEAM": "ml", RECORD: "ONNXFERRY_LIMIT_ITEMS TEAM"}
    assert cloud.plan_deploy(versions[0]).changes == ()


def test_a_change_is_proved_on_the_candidate(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(environment=TWO), versions[0])
    plan = deploy(azure.cloud(environment=FOUR), versions[0])
    (created,) = (step for step in plan.changes if str(step) == f"create app {APP}-candidate")
    pairs = created.parameters["site"]["properties"]["siteConfig"]["appSettings"]
    assert {one["name"]: one["value"] for one in pairs}.items() >= FOUR.items()
    assert settings(azure) == {**FOUR, RECORD: "ONNXFERRY_LIMIT_ITEMS"}
    assert azure.serves() == versions[0].package.sha256
    assert deploy(azure.cloud(environment=FOUR), versions[0]).changes == ()


def test_what_is_taken_out_goes_and_what_others_set_stays(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(environment={**TWO, "TEAM": "ml"}), versions[0])
    add(azure, KEY=THEIRS)
    deploy(azure.cloud(environment={"TEAM": "ml"}), versions[0])
    assert settings(azure) == {"TEAM": "ml", "KEY": THEIRS, RECORD: "TEAM"}
    deploy(azure.cloud(), versions[0])
    assert settings(azure) == {"KEY": THEIRS}
    assert deploy(azure.cloud(), versions[0]).changes == ()


def test_it_goes_with_a_new_version_too(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(), versions[0])
    deploy(azure.cloud(environment=TWO), versions[1])
    assert settings(azure) == {**TWO, RECORD: "ONNXFERRY_LIMIT_ITEMS"}
    assert azure.serves() == versions[1].package.sha256


def test_a_roll_back_leaves_it(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(environment=TWO), versions[0])
    deploy(azure.cloud(environment=FOUR), versions[1])
    run(azure.cloud().plan_rollback(), azure.cloud())
    assert azure.serves() == versions[0].package.sha256
    assert settings(azure) == {**FOUR, RECORD: "ONNXFERRY_LIMIT_ITEMS"}


def test_all_settings_are_as_they_were_when_the_switch_fails_and_no_plan_holds_them(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(environment=TWO), versions[0])
    add(azure, TOKEN=THEIRS)
    azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    cloud = azure.cloud(environment={**FOUR, "TOKEN": "ours"})
    plan = cloud.plan_deploy(versions[1])
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        run(plan, cloud, versions[1])
    assert THEIRS not in plan.to_json() + str(cloud.status()) + repr(cloud)
    assert settings(azure) == {**TWO, "TOKEN": THEIRS, RECORD: "ONNXFERRY_LIMIT_ITEMS"}
    assert azure.serves() == versions[0].package.sha256


def test_one_that_the_model_cannot_serve_with_does_not_reach_the_app(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    with pytest.raises(
        NotHealthy, match=f"{APP}-candidate: the golden request was refused with status 413"
    ):
        deploy(azure.cloud(environment={"ONNXFERRY_LIMIT_BODY_BYTES": "9"}), versions[0])
    assert settings(azure) == {}


def test_a_half_made_app_gets_it(azure: AzureAccount, versions: Versions) -> None:
    """A first deployment that broke off before anything was published, and another environment the
    next time."""
    azure.apps.publish_failures = ["no"]
    cloud = azure.cloud(environment=TWO)
    with pytest.raises(PublishFailed):
        apply(cloud.plan_deploy(versions[0]), cloud, QuietReport(), Terms(keep_failed=True))
    plan = deploy(azure.cloud(environment={"TEAM": "ml"}), versions[0])
    assert f"update environment of app {APP}" in map(str, plan.changes)
    assert settings(azure) == {"TEAM": "ml", RECORD: "TEAM"}


def test_a_run_that_was_cut_off_in_the_switch_is_taken_up(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(environment=TWO), versions[0])
    cloud = azure.cloud(environment=FOUR)
    plan = cloud.plan_deploy(versions[0])
    switch = next(i for i, step in enumerate(plan.steps) if step.operation == "promote")
    run(replace(plan, steps=plan.steps[: switch + 1]), cloud, versions[0])
    assert azure.tags()["onnxferry-publishing"]
    deploy(azure.cloud(environment=FOUR), versions[0])
    assert settings(azure) == {**FOUR, RECORD: "ONNXFERRY_LIMIT_ITEMS"}
    assert not azure.tags()["onnxferry-publishing"]
    assert azure.cloud(environment=FOUR).plan_deploy(versions[0]).changes == ()


def test_status_and_deletion_do_not_read_the_settings(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(environment=TWO), versions[0])
    azure.fake.restart_counting()
    cloud = azure.cloud()
    cloud.status()
    run(cloud.plan_delete(), cloud)
    assert not [call for call in azure.fake.calls if "appsettings" in call.path]
    assert azure.kinds() == []


def test_a_users_setting_is_set_aside_and_comes_back(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    add(azure, TOKEN=THEIRS)
    plan = deploy(azure.cloud(environment={"TOKEN": "ours"}), versions[0])
    assert settings(azure).items() >= {"TOKEN": "ours", RECORD: "TOKEN"}.items()
    assert not azure.cloud(environment={"TOKEN": "ours"}).plan_deploy(versions[0]).changes
    back = deploy(azure.cloud(), versions[0])
    assert settings(azure) == {"TOKEN": THEIRS}
    assert THEIRS not in plan.to_json() + back.to_json()


def test_a_failed_switch_that_took_a_variable_out_gives_it_back(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    add(azure, TOKEN=THEIRS)
    deploy(azure.cloud(environment={"TOKEN": "ours", "TEAM": "ml"}), versions[0])
    before = settings(azure)
    azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        deploy(azure.cloud(), versions[1])
    assert settings(azure) == before
