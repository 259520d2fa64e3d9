"""A plan that was written as JSON and read again, by another process, does the same."""

from __future__ import annotations

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import WrongAnswer
from onnxferry.infra.plan import Plan
from tests.infra.functions.azure_account import APP, AzureAccount, deploy
from tests.infra.plan_json import plan_of
from tests.infra.quiet import QuietReport

Versions = tuple[Bundle, Bundle, Bundle]


def read_again(plan: Plan) -> Plan:
    found = plan_of(plan.to_json())
    assert found == plan
    return found


def test_deploy_update_roll_back_delete(azure: AzureAccount, versions: Versions) -> None:
    for version in versions[:2]:
        apply(read_again(azure.cloud().plan_deploy(version)), azure.cloud(), QuietReport())
        assert azure.serves() == version.package.sha256
    apply(read_again(azure.cloud().plan_rollback()), azure.cloud(), QuietReport())
    assert azure.serves() == versions[0].package.sha256
    apply(read_again(azure.cloud().plan_delete()), azure.cloud(), QuietReport())
    assert azure.kinds() == []


def test_what_is_put_back_stands_in_the_plan(azure: AzureAccount, versions: Versions) -> None:
    one, two = ({"ONNXFERRY_ENGINE_THREADS": number} for number in ("1", "2"))
    deploy(azure.cloud(environment=one), versions[0])
    before = azure.apps.settings(APP)
    cloud = azure.cloud(environment={**two, "TEAM": "ml"}, instance_memory_mb=4096)
    plan = read_again(cloud.plan_deploy(versions[1]))
    (promote,) = (step for step in plan.steps if step.operation == "promote")
    assert promote.restore
    assert promote.restore.parameters["settings"]["set"].items() >= one.items()
    assert promote.restore.parameters["settings"]["remove"] == ["TEAM"]
    azure.apps.answers[APP, versions[1].package.sha256] = b'{"answer": "?"}'
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        apply(plan, azure.cloud(), QuietReport())
    assert azure.apps.settings(APP) == before
    assert azure.serves() == versions[0].package.sha256
