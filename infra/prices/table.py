"""A table of prices: what a unit of each meter costs in each region, with the date of every region
and where it is from. Nothing stands in it that has not been confirmed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import BaseModel, Field

from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_text

_FOLDER = Path(__file__).parent
_Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class RegionPrices(_Data):
    """`prices` of a unit by meter in one `currency`, as they were on `date`; a meter that is not
    there is unknown."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    date: datetime.date
    source: str
    prices: Mapping[str, _Amount]


class PriceTable(_Data):
    """By region. `free` is what a subscription has for nothing each month, by meter, in the meter's
    units."""

    free: Mapping[str, _Amount] = {}
    regions: Mapping[str, RegionPrices]


def read(target: str, own: str | None = None) -> PriceTable:
    """The prices of the file `own`, else the list prices of `target`. Raises UsageError for a file
    that is not there or not of this form, with all mistakes."""
    file = Path(own) if own else _FOLDER / f"{target}.json"
    try:
        return PriceTable.model_validate_json(read_text(file))
    except pydantic.ValidationError as e:
        places = (".".join(map(str, m["loc"])) or "the file" for m in e.errors())
        mistakes = (f"{place}: {m['msg']}" for place, m in zip(places, e.errors(), strict=True))
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise UsageError(f"{file}: no table of prices:{lines}\n{_FORM}") from e


_FORM = (
    'Its form: {"free": {METER: QUANTITY}, "regions": {REGION: {"currency": "EUR", "date":'
    ' "2026-01-31", "source": "our contract", "prices": {METER: PRICE}}}}'
)
