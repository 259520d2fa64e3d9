"""An estimate of what a deployment costs a month: frozen data, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Generic, TypeVar

from onnxferry.infra.prices.table import PriceTable, RegionPrices

if TYPE_CHECKING:
    from onnxferry.scripts.package import Package
    from onnxferry.scripts.rehearse.record import RehearsalRecord

HOURS = 730  # of a month, as the clouds' own calculators have it
Range = tuple[Decimal, Decimal]  # the least and the most
NOTHING = Decimal(0)
_QUANTUM = Decimal("0.000001")  # of quantities
_CENT = Decimal("0.01")
_UNCONFIRMED = "no price of this region is confirmed (of others: {})"
_OWN = "To give your own: prices = FILE in the target's table of deploy.toml"


S = TypeVar("S")  # the settings of a target


@dataclass(frozen=True)
class Asked(Generic[S]):
    """What an estimate is made of: the target's `settings`, the `region`, the `package`, what its
    folder has of a rehearsal (maybe of another package), and the prices."""

    settings: S
    region: str
    package: Package
    rehearsed: RehearsalRecord | None
    table: PriceTable


@dataclass(frozen=True)
class CostLine:
    """What one `meter` of a price table counts in a month, in `words` and in its `unit`. Once it is
    priced, `quantity` is what remains beyond the `free` one; `price` is that of a unit, and `cost`
    the amount, both None where they are not known."""

    meter: str
    words: str
    unit: str
    quantity: Range
    free: Decimal = NOTHING
    price: Decimal | None = None
    cost: Range | None = None


@dataclass(frozen=True)
class CostEstimate:
    """The `total` of a month in `currency`, None where that is not known; `unknown` then says what
    is missing, and what to do, and `elsewhere` has each region where it is known, with its total
    and currency. `load` is what it is for, in words; `date` and `source` are those of the region's
    prices, "" where there are none."""

    region: str
    load: str
    currency: str = ""
    date: str = ""
    source: str = ""
    total: Range | None = None
    lines: tuple[CostLine, ...] = ()
    assumptions: tuple[str, ...] = ()
    unknown: str = ""
    elsewhere: tuple[tuple[str, Range, str], ...] = ()

    def text(self) -> Iterator[str]:
        """What people read, a line each."""
        load = f", {self.load}" if self.load else ""
        start = f"Cost a month in {self.region}{load}"
        dated = f" (prices of {self.date}: {self.source})" if self.date else ""
        if self.total:
            yield f"{start}: {_span(self.total, _money)} {self.currency}{dated}."
        else:
            yield f"{start}: not known: {self.unknown}."
        for region, total, currency in self.elsewhere:
            yield f"  It would be {_span(total, _money)} {currency} in {region}."
        yield from (f"  {self._line(line)}" for line in self.lines)
        yield from (f"  {assumption}." for assumption in self.assumptions)

    def _line(self, line: CostLine) -> str:
        beyond = f" beyond the free {_count(line.free)}" if line.free else ""
        counted = f"{line.words}: {_span(line.quantity, _count)} {line.unit}{beyond}"
        if line.cost is None or line.price is None:
            return counted
        return f"{counted}, at {line.price:f}: {_span(line.cost, _money)} {self.currency}"


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
    others = sorted(table.regions.items())
    totals = ((name, _total(_priced(x, table, at) for x in counted), at) for name, at in others)
    elsewhere = tuple((name, total, at.currency) for name, total, at in totals if total)
    missing = ", ".join(line.meter for line in lines if line.cost is None)
    why = (
        f"the prices of {said.date} lack {missing}" if found else _UNCONFIRMED.format(table.known())
    )
    return replace(said, unknown=f"{why}. {_OWN}", elsewhere=elsewhere)


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


def _span(amount: Range, text: Callable[[Decimal], str]) -> str:
    least, most = map(text, amount)
    return least if least == most else f"{least} to {most}"


def _money(amount: Decimal) -> str:
    return f"{amount.quantize(_CENT, ROUND_HALF_UP):,f}"


def _count(number: Decimal) -> str:
    return f"{number.normalize():,f}"
