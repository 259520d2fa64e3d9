"""Which estimate a target has: a row each, as a lazy reference "module:function" of Asked. A target
without a row has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from onnxferry.infra.plan import Plan
from onnxferry.infra.prices import table
from onnxferry.infra.prices.estimate import CostEstimate
from onnxferry.infra.prices.pricing import Asked
from onnxferry.infra.prices.table import PriceTable
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.targets import load

ESTIMATORS = {
    "azureml": "onnxferry.infra.azureml.costs:estimate",
    "functions": "onnxferry.infra.functions.costs:estimate",
    "sagemaker": "onnxferry.infra.sagemaker.costs:estimate",
}


def estimator(target: str, settings: Any) -> Callable[[Plan, Package], Plan]:
    """What adds to a plan, of a package, what it costs a month. The prices are read now. Raises
    UsageError for a file of prices that is none."""
    if target not in ESTIMATORS:
        return lambda plan, package: plan
    return partial(_estimated, settings, table.read(target, settings.prices))


def _estimated(settings: Any, prices: PriceTable, plan: Plan, package: Package) -> Plan:
    estimate: Callable[[Asked[Any]], CostEstimate] = load(ESTIMATORS[plan.target])
    found = plan.summary
    asked = Asked(settings, found.region, found.count, package, record.read(package), prices)
    return replace(plan, summary=replace(found, cost=estimate(asked)))
