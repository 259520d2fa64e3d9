"""Instances that are billed by the hour: examples worked by hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.plan import Plan, Summary
from onnxferry.infra.prices.estimate import CostEstimate
from onnxferry.infra.prices.estimators import estimator
from onnxferry.infra.target_tables import AzureML, SageMaker
from onnxferry.infra.target_tables.sagemaker import RealTime
from onnxferry.scripts.package import Package
from tests.fakes.azure.fake import SUBSCRIPTION

PACKAGE = Package("sagemaker", "m", Path("out/sagemaker/m/model.tar.gz"), "a" * 64, 1, "3.12", ())


def cost(target: str, settings: Any, region: str, count: int = 1) -> CostEstimate:
    plan = Plan(target, "deploy", "m", (), Summary(region=region, count=count))
    found = estimator(target, settings)(plan, PACKAGE).summary.cost
    assert found
    return found


def azureml(**keys: Any) -> AzureML:
    return AzureML(subscription=SUBSCRIPTION, resource_group="g", workspace="wks", **keys)


def test_sagemaker() -> None:
    found = cost("sagemaker", SageMaker(), "us-east-1", 2)  # 2 x 730 x 0.115
    assert (found.total, found.currency) == ((Decimal("167.900"), Decimal("167.900")), "USD")
    head, hour, line, rest = found.text()
    assert hour == "  That is 0.230 USD an hour."
    assert head.startswith("Cost a month in us-east-1, 2 x ml.m5.large: 167.90 USD (prices of 2026")
    assert line == "  ml.m5.large: 1,460 hours, at 0.115: 167.90 USD"
    assert "Not counted" in rest


def test_azureml_keeps_the_version_before() -> None:
    # 730 x 0.08425, and twice that
    found = cost("azureml", azureml(), "northeurope")
    assert (found.total, found.currency) == ((Decimal("61.5025"), Decimal("123.0050")), "EUR")
    assert any("keep_previous" in said for said in found.assumptions)
    alone = cost("azureml", azureml(keep_previous=False), "westus2")
    assert alone.total == (Decimal("61.758"), Decimal("61.758"))
    scaled = cost("azureml", azureml(scaling={"max": 4, "min": 2}), "northeurope")
    one = Decimal("61.5025")
    assert scaled.total == (2 * one, (4 + 2) * one)
    assert "2 to 4 x Standard_F2s_v2" in next(iter(scaled.text()))


def test_azureml_between_its_limits() -> None:
    # 730 x 0.08425 x 2 and x 5: what serves, and what served before, which rests at two
    limits = {"min": 2, "max": 3}
    found = cost("azureml", azureml(scaling=limits), "northeurope", 2)
    assert found.total == (Decimal("123.0050"), Decimal("307.5125"))
    assert found.load == "2 to 3 x Standard_F2s_v2"
    night = {"at": "cron(0 20 ? * * *)", "min": 1, "max": 5}
    found = cost("azureml", azureml(scaling={**limits, "schedule": [night]}), "northeurope", 2)
    assert found.total == (Decimal("61.5025"), Decimal("430.5175"))
    alone = azureml(keep_previous=False, rollout={"mirror": 10}, capture={})
    found = cost("azureml", alone, "northeurope")
    assert found.total == (Decimal("61.5025"), Decimal("123.0050"))
    assert "rollout.mirror" in found.assumptions[0]
    assert "captured requests" in found.assumptions[1]


def test_azureml_s_change_of_version() -> None:
    linear = {"traffic": "linear", "step_percent": 50, "wait_seconds": 600}
    settings = azureml(keep_previous=False, rollout=linear)
    found = cost("azureml", settings, "northeurope", 4)  # half an hour x 4 x 0.08425
    assert found.assumptions[0] == (
        "Each change of version runs 4 more for about 30 minutes: some 0.17 EUR"
    )
    unknown = cost("azureml", settings, "westeurope", 4)
    assert unknown.assumptions[0].endswith("for about 30 minutes")


def test_a_cluster_of_one_s_own_has_no_price_here() -> None:
    found = cost(
        "azureml", azureml(serving={"mode": "kubernetes", "compute": "aks"}), "northeurope"
    )
    assert (found.total, found.lines) == (None, ())
    assert "billed by its nodes" in found.unknown


@pytest.mark.parametrize(
    ("region", "kind", "why"),
    [
        ("eu-west-1", "ml.m5.large", "no price of this region is confirmed. To give your own: "),
        ("us-east-1", "ml.c7i.large", "the prices of 2026-07-30 lack ml.c7i.large"),
    ],
)
def test_what_is_not_known_is_said(region: str, kind: str, why: str) -> None:
    found = cost("sagemaker", SageMaker(serving=RealTime(instance_type=kind)), region)
    assert found.total is None
    assert why in found.unknown
    text = "\n".join(found.text())
    assert "730 hours" in text
    assert ("It would be 83.95 USD in us-east-1 (prices of 2026-07-30)." in text) == (
        kind == "ml.m5.large"
    )


def test_a_target_without_an_estimate_has_none() -> None:
    plan = Plan("mlflow", "deploy", "m", ())
    assert estimator("mlflow", None)(plan, PACKAGE) is plan
