"""Tables of prices: ours are dated and sourced, and a user's own are read or refused."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.functions.costs import _METERS
from onnxferry.infra.prices.estimators import ESTIMATORS
from onnxferry.infra.prices.table import read
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS, load
from tests import documents

OWN: dict[str, Any] = {
    "regions": {
        "westeurope": {
            "currency": "EUR",
            "date": "2026-11-01",
            "source": "our contract",
            "prices": {"on_demand_gb_second": "0.00002"},
        }
    }
}


@pytest.mark.parametrize("target", ESTIMATORS)
def test_every_row_has_a_date_and_a_source(target: str) -> None:
    assert target in TARGETS
    assert callable(load(ESTIMATORS[target]))
    table = read(target)
    for region in table.regions.values():
        assert datetime.date(2025, 1, 1) < region.date < datetime.date(2100, 1, 1)
        assert region.source
        assert region.prices


def test_the_meters_of_functions_are_known() -> None:
    table = read("functions")
    for region in table.regions.values():
        assert region.prices.keys() <= _METERS.keys()
    assert table.free.keys() <= _METERS.keys()
    assert table.regions["eastus2"].prices.keys() == _METERS.keys()


def test_prices_are_exact() -> None:
    price = read("functions").regions["eastus2"].prices["on_demand_gb_second"]
    assert price == Decimal("0.000026")


@pytest.mark.parametrize("price", ["0.00002", 0.00002, 2e-05])
def test_a_users_own(price: object, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    own = json.loads(json.dumps(OWN))
    own["regions"]["westeurope"]["prices"]["on_demand_gb_second"] = price
    file.write_text(json.dumps(own), encoding="utf-8")
    found = read("functions", str(file))
    assert found.free == {}
    assert found.regions["westeurope"].currency == "EUR"
    assert found.regions["westeurope"].prices == {"on_demand_gb_second": Decimal("0.00002")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ("{}", "regions: Field required"),
        ('{"regions": {"x": {}}}', "regions.x.date: Field required"),
        (json.dumps(OWN).replace("EUR", "euro"), "westeurope.currency: String should match"),
        (json.dumps({**OWN, "more": 1}), "more: Extra inputs"),
        (
            json.dumps(OWN).replace("0.00002", "-1"),
            "on_demand_gb_second: Input should be greater than or equal to 0",
        ),
        (
            json.dumps(OWN).replace("0.00002", "NaN"),
            "on_demand_gb_second: Input should be a finite",
        ),
        (json.dumps(OWN).replace("2026-11-01", "11/01/2026"), "westeurope.date: Input should be"),
    ],
)
def test_what_is_no_table_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read("functions", str(file))
    message = str(raised.value)
    assert message.startswith(f"{file}: no table of prices:")
    assert said in message
    assert "Its form: " in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.json: cannot be read: No such file"):
        read("functions", str(tmp_path / "none.json"))


def test_the_page_shows_a_table_that_is_read_and_names_every_region(tmp_path: Path) -> None:
    page = documents.read("docs/deploy/costs.md")
    file = tmp_path / "ours.json"
    file.write_text(documents.snippet("docs/deploy/costs.md", "our contract"), encoding="utf-8")
    shown = read("functions", str(file))
    assert shown.regions["westeurope"].prices.keys() == _METERS.keys()
    assert shown.free == read("functions").free
    for target in ESTIMATORS:
        for name, region in read(target).regions.items():
            assert f"{name} ({region.date})" in page
