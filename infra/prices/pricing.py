"""What a meter counts, times its price: from quantities to an estimate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Generic, TypeVar

from onnxferry.infra.prices.estimate import NOTHING, CostElsewhere, CostEstimate, CostLine, Range
from onnxferry.infra.prices.table import PriceTable, RegionPrices
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse.record import RehearsalRecord
from onnxferry.system.exits import program

HOURS = 730  # of a month, as the clouds' own calculators have it
_QUANTUM = Decimal("0.000001")  # of quantities
_UNCONFIRMED = "no price of this region is confirmed"
_OWN = "To give your own: prices = FILE in the target's table of deploy.toml"

S = TypeVar("S")  # the settings of a target


@dataclass(frozen=True)
class Asked(Generic[S]):
    """What an estimate is made of: the target's `settings`, the `region`, `count` instances that
    run all the time, the `package`, what its folder has of a rehearsal (maybe of another package),
    and the prices."""

    settings: S
    region: str
    count: int
    package: Package
    rehearsed: RehearsalRecord | None
    table: PriceTable


def priced(
    counted: Sequence[CostLine], table: PriceTable, region: str, load: str, *assumptions: str
) -> CostEstimate:
    """The lines, which have a quantity alone, at the prices of `region`; without a total where a
    price is missing, and then with those of the other regions beside it."""
    found = table.regions.get(region)
    lines = tuple(_priced(line, table, found) for line in counted)
    said = CostEstimate(region, load, total=_total(lines), lines=lines, assumptions=assumptions)
    if found:
        said = replace(said, currency=found.currency, date=str(found.date), source=found.source)
    if said.total:
        return said
    missing = ", ".join(line.meter for line in lines if line.cost is None)
    why = f"the prices of {said.date} lack {missing}" if found else _UNCONFIRMED
    return replace(said, unknown=f"{why}. {_OWN}", elsewhere=tuple(_elsewhere(counted, table)))


def _elsewhere(counted: Sequence[CostLine], table: PriceTable) -> Iterator[CostElsewhere]:
    for name, found in sorted(table.regions.items()):
        if total := _total(_priced(line, table, found) for line in counted):
            yield CostElsewhere(name, str(found.date), found.currency, total)


def _priced(line: CostLine, table: PriceTable, found: RegionPrices | None) -> CostLine:
    free = table.free.get(line.meter, NOTHING)
    least, most = (max(NOTHING, x - free).quantize(_QUANTUM) for x in line.quantity)
    line = replace(line, quantity=(least, most), free=free)
    price = found.prices.get(line.meter) if found else None
    if price is None:
        return line if most else replace(line, cost=(NOTHING, NOTHING))
    return replace(line, price=price, cost=(least * price, most * price))


def _total(lines: Iterable[CostLine]) -> Range | None:
    costs = [line.cost for line in lines]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    # what is free may make the busier case the dearer one, by cents
    least, most = sorted(sum((cost[i] for cost in known), NOTHING) for i in (0, 1))
    return least, most


def unrehearsed(rehearsed: RehearsalRecord | None, package: Package) -> str:
    """Why the last rehearsal does not count for `package`, and how to make one that does."""
    of = f"the last rehearsal was of another package ({rehearsed.sha256[:12]})" if rehearsed else ""
    out = package.path.parents[2]
    flags = ["--target", package.target, "--python", package.python, "--out", str(out)]
    command = " ".join([program("rehearse"), *flags])
    why = of or "no rehearsal of this package is recorded"
    return f"{why}; rehearse it first, with the same model: {command}"
