"""What instances cost that are billed by the hour, whether they are asked or not: the meter is the
instance type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.prices.estimate import CostEstimate, CostLine, Range
from onnxferry.infra.prices.pricing import HOURS, Asked, priced

NOT_COUNTED = "Not counted: what runs beside it while a version is changed, storage, traffic"


def hourly(
    asked: Asked[Any], fleets: Mapping[str, Range], *assumptions: str, load: str = ""
) -> CostEstimate:
    """For instances by type, the least and the most of them, all month; with what an hour of them
    costs, where that is known."""
    lines = [
        CostLine(kind, kind, "hours", (least * HOURS, most * HOURS))
        for kind, (least, most) in fleets.items()
    ]
    said = load or " and ".join(_loads(fleets))
    found = priced(lines, asked.table, asked.region, said, *assumptions)
    if not found.total:
        return found
    least, most = (total / HOURS for total in found.total)
    return replace(found, hour=(least, most))


def _loads(fleets: Mapping[str, Range]) -> Iterator[str]:
    for kind, (least, most) in fleets.items():
        count = f"{least:f}" if least == most else f"{least:f} to {most:f}"
        yield f"{count} x {kind}"
