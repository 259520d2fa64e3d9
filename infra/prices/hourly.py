"""What instances cost that are billed by the hour, whether they are asked or not: the meter is the
instance type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from onnxferry.infra.prices.estimate import CostEstimate, CostLine
from onnxferry.infra.prices.pricing import HOURS, Asked, priced
from onnxferry.infra.target_tables import AzureML, SageMaker

_KEPT = "The most is with the version that served before, which keep_previous keeps running"
_NOT_COUNTED = "Not counted: what runs beside it while a version is changed, storage, traffic"


def estimate(asked: Asked[SageMaker | AzureML]) -> CostEstimate:
    """For the instances that will run, which somebody may have scaled, all month."""
    settings, count = asked.settings, asked.count
    serving: Any = getattr(settings, "serving", settings)
    kind = serving.instance_type
    hours = Decimal(HOURS * count)
    kept = getattr(settings, "keep_previous", False)
    line = CostLine(kind, kind, "hours", (hours, hours * 2 if kept else hours))
    said = [*([_KEPT] if kept else []), _NOT_COUNTED]
    return priced([line], asked.table, asked.region, f"{count} x {kind}", *said)
