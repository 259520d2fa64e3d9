"""An estimate of what a deployment costs a month: frozen data, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

Range = tuple[Decimal, Decimal]  # the least and the most
NOTHING = Decimal(0)
_CENT, _TENTH_OF_A_CENT = Decimal("0.01"), Decimal("0.001")


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
class CostElsewhere:
    """The total of a month in another region, by its prices of a `date`."""

    region: str
    date: str
    currency: str
    total: Range


@dataclass(frozen=True)
class CostEstimate:
    """The `total` of a month in `currency`, None where that is not known; `unknown` then says what
    is missing, and what to do, and `elsewhere` is where it is known. `load` is what it is for, in
    words; `hour` is what an hour costs, where it is billed by the hour; `date` and `source` are
    those of the region's prices, "" where there are none."""

    region: str
    load: str
    currency: str = ""
    date: str = ""
    source: str = ""
    total: Range | None = None
    hour: Range | None = None
    lines: tuple[CostLine, ...] = ()
    assumptions: tuple[str, ...] = ()
    unknown: str = ""
    elsewhere: tuple[CostElsewhere, ...] = ()

    def text(self) -> Iterator[str]:
        """What people read, a line each."""
        load = f", {self.load}" if self.load else ""
        start = f"Cost a month in {self.region}{load}"
        dated = f" (prices of {self.date}: {self.source})" if self.date else ""
        if self.total:
            yield f"{start}: {_span(self.total, _money)} {self.currency}{dated}."
        else:
            yield f"{start}: not known: {self.unknown}."
        if self.hour:
            yield f"  That is {_span(self.hour, _exact)} {self.currency} an hour."
        for other in self.elsewhere:
            amount = f"{_span(other.total, _money)} {other.currency}"
            yield f"  It would be {amount} in {other.region} (prices of {other.date})."
        yield from (f"  {self._line(line)}" for line in self.lines)
        yield from (f"  {assumption}." for assumption in self.assumptions)

    def _line(self, line: CostLine) -> str:
        beyond = f" beyond the free {_count(line.free)}" if line.free else ""
        counted = f"{line.words}: {_span(line.quantity, _count)} {line.unit}{beyond}"
        if line.cost is None or line.price is None:
            return counted
        return f"{counted}, at {line.price:f}: {_span(line.cost, _money)} {self.currency}"


def _span(amount: Range, text: Callable[[Decimal], str]) -> str:
    least, most = map(text, amount)
    return least if least == most else f"{least} to {most}"


def _money(amount: Decimal) -> str:
    return f"{amount.quantize(_CENT, ROUND_HALF_UP):,f}"


def _exact(amount: Decimal) -> str:
    """An hour of a small instance is some cents."""
    return f"{amount.quantize(_TENTH_OF_A_CENT, ROUND_HALF_UP):,f}"


def _count(number: Decimal) -> str:
    return f"{number.normalize():,f}"
