"""A plan that was written as JSON and read again, by another process, does the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import WrongAnswer
from onnxferry.infra.plan import Plan
from onnxferry.system.errors import PackageError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import connected, deploy
from tests.infra.plan_json import plan_of
from tests.infra.quiet import QuietReport


def read_again(plan: Plan) -> Plan:
    found = plan_of(plan.to_json())
    assert found == plan
    return found


def test_deploy_update_roll_back_delete(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        apply(read_again(connected().plan_deploy(versions[name])), connected(), QuietReport())
        assert connected().status().version == versions[name].version
    apply(read_again(connected().plan_rollback()), connected(), QuietReport())
    assert connected().status().version == versions["a"].version
    apply(read_again(connected().plan_delete()), connected(), QuietReport())
    assert list(azure.store.all(ENDPOINTS)) == []
    assert azure.blobs.names("wsstore", "azureml-blobstore") == []


def test_what_is_put_back_stands_in_the_plan(
    ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    plan = read_again(connected().plan_deploy(versions["b"]))
    (shift,) = (step for step in plan.steps if step.parameters.get("traffic"))
    (serving,) = ml.history[-1].traffic
    assert shift.restore
    assert shift.restore.parameters["traffic"] == {serving: 100}
    model = next(step.parameters["version"] for step in plan.steps if step.resource == "model")
    ml.answers[model] = b'{"answer": "Bob"}'
    candidate = next(i for i, step in enumerate(plan.steps) if step.operation == "smoke")
    steps = (*plan.steps[:candidate], *plan.steps[candidate + 1 :])  # nobody asked it before
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        apply(Plan(plan.target, plan.purpose, plan.name, steps), connected(), QuietReport())
    assert ml.history[-1].traffic == {serving: 100}


def test_a_package_that_changed_since_the_plan_is_refused(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    package = versions["a"].package
    copy = shutil.copytree(package.path, tmp_path / "package")
    plan = connected().plan_deploy(replace(versions["a"], package=replace(package, path=copy)))
    (copy / "model" / "model.onnx").write_bytes(b"another")
    with pytest.raises(PackageError, match=r"model\.onnx: changed since the plan"):
        apply(plan, connected(), QuietReport())
    assert list(azure.store.all(ENDPOINTS)) == []
