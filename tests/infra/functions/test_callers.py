"""Who may call an app: whoever has a key, anybody, or whom Entra ID signed in. At no time does an
app that asks for a token answer without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NoCredentials, NotHealthy, Refused, WrongAnswer
from tests.fakes.azure.http import Call
from tests.fakes.azure.login import TENANT
from tests.infra.functions.azure_account import (
    APP,
    CLIENT,
    ENTRA,
    QUESTION,
    AzureAccount,
    Hours,
    by,
    deploy,
    run,
)

Versions = tuple[Bundle, Bundle, Bundle]
AUDIENCE = f"api://{CLIENT}"
KEY: Mapping[str, Any] = {}
ANYBODY = {"auth": "anonymous"}


def asked(azure: AzureAccount, path: str, method: str = "GET", **headers: str) -> int:
    """The status that a caller with these headers gets from the app."""
    host = f"{APP}.azurewebsites.localhost"
    return azure.fake.handle(
        Call(azure.fake.number(), method, host, path, {}, headers, QUESTION.body)
    ).status


def scored(azure: AzureAccount, **headers: str) -> int:
    return asked(azure, "/api/score", "POST", **headers)


def test_a_key_is_needed_unless_deploy_toml_says_otherwise(
    azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    assert (scored(azure), azure.cloud().invoke(QUESTION, 9).status) == (401, 200)
    assert azure.apps.opened == []
    assert azure.cloud().status().details["callers"] == "whoever has a function key"
    deploy(azure.cloud(**ANYBODY), versions[0])
    assert (scored(azure), azure.cloud().status().details["callers"]) == (200, "anybody")
    deploy(azure.cloud(), versions[0])
    assert scored(azure) == 401


def test_its_keys_are_renewed_one_after_the_other(azure: AzureAccount, versions: Versions) -> None:
    cloud = azure.cloud()
    deploy(cloud, versions[0])
    first = azure.apps.key(APP)
    assert first not in "".join(cloud.access().lines())
    assert cloud.access().key("primary").value == first
    made = cloud.plan_rotate("secondary")
    assert (str(*made.steps), made.summary.notes) == ("create host key secondary", ())
    apply(made, cloud)
    second = cloud.access().key("secondary").value
    opened = [scored(azure, **{"x-functions-key": key}) for key in (first, second)]
    assert opened == [200, 200]
    renewed = cloud.plan_rotate("primary")
    assert "whoever sends the primary key of now is refused" in renewed.summary.notes[0].lower()
    for _ in range(2):  # the second time, nothing is left to be done
        apply(renewed, cloud)
        third = azure.apps.key(APP)
        opened = [scored(azure, **{"x-functions-key": key}) for key in (first, second, third)]
        assert opened == [401, 200, 200]
    assert cloud.invoke(QUESTION, 9).status == 200
    deploy(azure.cloud(**ANYBODY), versions[0])
    with pytest.raises(Refused, match=r"auth is anonymous\. The functions are open to everybody"):
        cloud.plan_rotate("primary")


def test_entra_id_asks_for_a_token_before_the_functions_open(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud(**ENTRA)
    plan = deploy(cloud, versions[1])
    assert any(f"signed in for {AUDIENCE}" in note for note in plan.summary.notes)
    assert azure.apps.sign_in.of(APP) == {
        "platform": {"enabled": True},
        "globalValidation": {
            "requireAuthentication": True,
            "unauthenticatedClientAction": "Return401",
            "excludedPaths": ["/api/health", "/api/ready"],
        },
        "identityProviders": {
            "azureActiveDirectory": {
                "enabled": True,
                "registration": {
                    "clientId": CLIENT,
                    "openIdIssuer": f"{azure.fake.url}/{TENANT}/v2.0",
                },
                "validation": {"allowedAudiences": [AUDIENCE]},
            }
        },
        "httpSettings": {"requireHttps": True},
    }
    assert (scored(azure), asked(azure, "/api/health")) == (401, 200)
    azure.fake.restart_counting()
    assert azure.cloud().invoke(QUESTION, 9).status == 200  # whatever deploy.toml says here
    assert not [call for call in azure.fake.calls if "listkeys" in call.path]
    assert azure.apps.opened == []
    assert AUDIENCE in azure.cloud().status().details["callers"]
    assert cloud.plan_deploy(versions[1]).changes == ()


WAYS = [(KEY, ENTRA), (ENTRA, KEY), (ANYBODY, ENTRA)]


@pytest.mark.parametrize("fails", ["", APP])
@pytest.mark.parametrize(("before", "after"), WAYS)
def test_no_way_leads_past_an_open_app(
    azure: AzureAccount,
    versions: Versions,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    fails: str,
) -> None:
    """Nor back, where the version does not prove itself."""
    deploy(azure.cloud(**before), versions[1])
    azure.apps.opened.clear()
    azure.apps.answers[fails, versions[2].package.sha256] = b'{"answer": "?"}'
    if fails:
        with pytest.raises(WrongAnswer):
            deploy(azure.cloud(**after), versions[2])
    else:
        deploy(azure.cloud(**after), versions[2])
    settled = before if fails else after
    open_before = [APP] if before is ANYBODY else []
    assert set(azure.apps.opened) <= set(open_before)
    assert azure.apps.sign_in.asks(APP) is (settled is ENTRA)
    assert scored(azure) == (200 if settled is ANYBODY else 401)
    assert azure.cloud().invoke(QUESTION, 9).status == 200
    kept = azure.cloud(**settled).plan_deploy(versions[1 if fails else 2])
    assert {step.operation for step in kept.changes} <= {"delete_package"}


def test_a_roll_back_keeps_the_sign_in(azure: AzureAccount, versions: Versions) -> None:
    for version in versions[1:]:
        deploy(azure.cloud(**ENTRA), version)
    cloud = azure.cloud()
    run(cloud.plan_rollback(), cloud)
    assert (azure.serves(), scored(azure)) == (versions[1].package.sha256, 401)
    assert azure.apps.opened == []


def test_drift_of_the_sign_in_is_seen_and_put_right(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = azure.cloud(**ENTRA)
    deploy(cloud, versions[1])
    found = azure.apps.sign_in.settings[APP]
    found["globalValidation"]["excludedPaths"] = ["/api/score"]
    found["identityProviders"]["google"] = {"enabled": False}
    assert cloud.plan_deploy(versions[1]).changes
    deploy(cloud, versions[1])
    now = azure.apps.sign_in.of(APP)
    assert now["globalValidation"]["excludedPaths"] == ["/api/health", "/api/ready"]
    assert now["identityProviders"]["google"] == {"enabled": False}  # theirs


def test_a_sign_in_that_the_user_set_up_stays(azure: AzureAccount, versions: Versions) -> None:
    deploy(azure.cloud(**ENTRA), versions[1])
    theirs = azure.apps.sign_in.of(APP)
    azure.apps.sign_in.settings.clear()
    run(azure.cloud().plan_delete(), azure.cloud())
    deploy(azure.cloud(), versions[1])
    azure.apps.sign_in.settings[APP] = theirs
    deploy(azure.cloud(instance_memory_mb=4096), versions[2])
    assert azure.apps.sign_in.of(APP) == theirs
    assert scored(azure) == 401
    assert azure.cloud().invoke(QUESTION, 9).status == 200  # shows both
    assert azure.cloud().status().details["callers"].endswith("with a function key")


def test_without_a_token_nothing_is_made(azure: AzureAccount, versions: Versions) -> None:
    azure.fake.login.applications.clear()
    cloud = azure.cloud(**ENTRA)
    try:
        with pytest.raises(NoCredentials) as caught:
            deploy(cloud, versions[1])
    finally:
        azure.fake.login.applications.add(AUDIENCE)
    for part in (AUDIENCE, "app registration", "az account get-access-token", "AADSTS500011"):
        assert part in str(caught.value)
    assert azure.kinds() == []


def test_an_app_that_answers_strangers_is_not_healthy(
    azure: AzureAccount, versions: Versions
) -> None:
    cloud = by(Hours(), azure.cloud(wait_minutes=3))
    open_to_all = mock.patch.object(azure.apps, "anonymous", lambda app: True)
    with (
        open_to_all,
        pytest.raises(NotHealthy, match=r"strangers get status 4\d\d, and no refusal"),
    ):
        deploy(cloud, versions[0])
    assert azure.serves() == ""


def test_a_probe_that_is_refused_is_told(azure: AzureAccount, versions: Versions) -> None:
    cloud = by(Hours(), azure.cloud(**ENTRA, wait_minutes=3))
    plan = cloud.plan_deploy(versions[1])
    created = next(step for step in plan.steps if step.operation == "create_app")
    created.parameters["sign_in"]["globalValidation"]["excludedPaths"].clear()
    with pytest.raises(NotHealthy, match="a probe of /api/health gets status 401"):
        run(plan, cloud)
