"""Which estimate a target has: a row each, as a lazy reference "module:function" of Asked. A target
without a row has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from onnxferry.infra.plan import Plan
from onnxferry.infra.prices import table
from onnxferry.infra.prices.estimate import Asked, CostEstimate
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.targets import load

_HOURLY = "onnxferry.infra.prices.hourly:estimate"
ESTIMATORS = {
    "azureml": _HOURLY,
    "functions": "onnxferry.infra.functions.costs:estimate",
    "sagemaker": _HOURLY,
}


def estimated(plan: Plan, settings: Any, package: Package) -> Plan:
    """`plan` with what it costs a month. Raises UsageError for a file of prices that is none."""
    if plan.target not in ESTIMATORS:
        return plan
    estimate: Callable[[Asked[Any]], CostEstimate] = load(ESTIMATORS[plan.target])
    prices = table.read(plan.target, settings.prices)
    asked = Asked(settings, plan.summary.region, package, record.read(package), prices)
    return replace(plan, summary=replace(plan.summary, cost=estimate(asked)))
