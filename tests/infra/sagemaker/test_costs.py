"""What each mode costs a month: examples worked by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.prices.estimate import CostEstimate
from onnxferry.infra.prices.pricing import Asked
from onnxferry.infra.prices.table import PriceTable, read
from onnxferry.infra.sagemaker import references, state
from onnxferry.infra.sagemaker.costs import estimate
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse.record import RehearsalRecord
from tests.fakes.aws import AwsServer
from tests.infra.sagemaker.conftest import NAME, deploy, settings_of

PATH = Path("out/sagemaker/m/model.tar.gz")
PACKAGE = Package("sagemaker", "m", PATH, "a" * 64, 1, "3.12", ())
REHEARSED = RehearsalRecord(
    sha256="a" * 64,
    python="3.12",
    runtime="mms",
    start_seconds=5.0,
    latency_p50_ms=20.0,
    latency_p95_ms=30.0,
    cpu_ms=35.0,
    memory_mib=300.0,
    cpus=2,
    machine="a machine",
)
OTHER = replace(REHEARSED, sha256="b" * 64)
READY = {"provisioned_3gb_ready_second": "0.00001", "provisioned_3gb_second": "0.00002"}


def cost(
    count: int = 1,
    rehearsed: RehearsalRecord | None = REHEARSED,
    table: PriceTable | None = None,
    **settings: Any,
) -> CostEstimate:
    given = settings_of(**settings)
    prices = table or read("sagemaker")
    return estimate(Asked(given, "us-east-1", count, PACKAGE, rehearsed, prices))


def total(found: CostEstimate) -> tuple[Decimal, ...]:
    assert found.total, found.unknown
    return tuple(amount.quantize(Decimal("0.001")) for amount in found.total)


def dollars(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, amounts))


def test_instances() -> None:
    found = cost(2)  # 2 x 730 x 0.115
    assert total(found) == dollars("167.900", "167.900")
    assert "  That is 0.230 USD an hour." in list(found.text())


def test_further_variants() -> None:
    further = {"large": {"instance_type": "ml.m5.xlarge", "instance_count": 2}}
    found = cost(3, variants=further)  # 730 x (0.115 + 2 x 0.23)
    assert total(found) == dollars("419.750", "419.750")
    assert found.load == "1 x ml.m5.large and 2 x ml.m5.xlarge"
    same = {"more": {"instance_type": "ml.m5.large", "instance_count": 1}}
    assert cost(2, variants=same).load == "2 x ml.m5.large"


def test_scaled_between_bounds() -> None:
    found = cost(2, scaling={"min": 1, "max": 4})
    assert total(found) == dollars("83.950", "335.800")
    assert found.load == "1 to 4 x ml.m5.large"
    assert any("scaling.max" in said for said in found.assumptions)
    assert "  That is 0.115 to 0.460 USD an hour." in list(found.text())


def test_a_shadow_runs_beside() -> None:
    beside: dict[str, Any] = {"rollout": {"shadow": 20}, "capture": {}}
    found = cost(2, **beside)  # as the plan counts
    assert total(found) == dollars("167.900", "167.900")
    assert any("shadow" in said for said in found.assumptions)
    scaled = cost(2, scaling={"min": 1, "max": 2}, **beside)
    assert scaled.load == "2 to 3 x ml.m5.large"


def serverless(**more: Any) -> dict[str, Any]:
    return {"serving": {"mode": "serverless", "memory_mb": 3072, **more}}


def test_serverless_by_the_load() -> None:
    # 100,000 x 20 ms and x 30 ms x 2 cores, at 0.00006 a second
    found = cost(0, requests_per_month=100_000, **serverless())
    assert total(found) == dollars("0.120", "0.360")
    text = "\n".join(found.text())
    assert "serverless, 3 GB, while at work: 2,000 to 6,000 s, at 0.00006: 0.12 to 0.36 USD" in text
    assert "an hour" not in text
    assert "p50 20 ms" in text
    assert total(cost(0, None, requests_per_month=0, **serverless())) == dollars("0.000", "0.000")


@pytest.mark.parametrize(
    ("settings", "rehearsed", "unknown"),
    [
        ({}, REHEARSED, "set requests_per_month in [sagemaker]"),
        ({"requests_per_month": 9}, None, "no rehearsal of this package is recorded"),
        ({"requests_per_month": 9}, OTHER, "the last rehearsal was of another package"),
    ],
)
def test_what_is_missing_is_said(
    settings: dict[str, Any], rehearsed: RehearsalRecord | None, unknown: str
) -> None:
    found = cost(0, rehearsed, **settings, **serverless())
    assert found.total is None
    assert unknown in found.unknown


def test_a_size_without_a_price_is_unknown() -> None:
    found = cost(0, requests_per_month=9, **serverless(memory_mb=2048))
    assert found.total is None
    assert "lack serverless_2gb_second" in found.unknown


def test_containers_that_are_kept_ready() -> None:
    table = prices(READY)
    # 2 x 730 x 3600 x 0.00001 and 100,000 x (20, 60) ms x 0.00002
    ready = serverless(provisioned_concurrency=2)
    found = cost(0, table=table, requests_per_month=100_000, **ready)
    assert total(found) == dollars("52.600", "52.680")
    scaled = {"min": 1, "max": 4}
    found = cost(0, table=table, requests_per_month=0, scaling=scaled, **ready)
    assert total(found) == dollars("26.280", "105.120")


def asynchronous(**more: Any) -> dict[str, Any]:
    return {"serving": {"mode": "async", **more}}


def test_asynchronous_instances_that_stay() -> None:
    assert total(cost(1, **asynchronous())) == dollars("83.950", "83.950")
    found = cost(1, scaling={"min": 1, "max": 2}, **asynchronous())
    assert total(found) == dollars("83.950", "167.900")


def test_asynchronous_down_to_no_instance() -> None:
    idle = {"scaling": {"min": 0, "max": 2, "scale_in_seconds": 300}, **asynchronous()}
    without = cost(0, **idle)
    assert total(without) == dollars("0.000", "167.900")
    assert any("requests_per_month" in said for said in without.assumptions)
    # 360 requests: 360 x 20 ms = 0.002 h; alone 360 x (600 + 0.03 + 300) s = 90.003 h
    found = cost(0, requests_per_month=360, **idle)
    assert total(found) == dollars("0.000", "10.350")
    assert found.lines[0].quantity[1] == Decimal("90.003000")
    many = cost(0, requests_per_month=10_000_000, **idle)  # never more than max all month
    assert total(many)[1] == dollars("167.900")[0]
    unknown = cost(0, None, requests_per_month=360, **idle)
    assert "rehearse" in unknown.unknown


def prices(more: dict[str, str]) -> PriceTable:
    """The list prices and these."""
    found = read("sagemaker")
    region = found.regions["us-east-1"]
    all_ = {**region.prices, **{meter: Decimal(price) for meter, price in more.items()}}
    regions = {"us-east-1": region.model_copy(update={"prices": all_})}
    return found.model_copy(update={"regions": regions})


@pytest.mark.parametrize(
    ("settings", "hours"),
    [({}, 24), ({"instance_count": 2}, 48), (serverless(), None), ({"mode": "async"}, 24)],
)
def test_the_hours_that_are_listed(
    aws: AwsServer, bundles: tuple[Bundle, ...], settings: dict[str, Any], hours: float | None
) -> None:
    made = deploy(bundles[0], **settings)
    assert [one.instance_hours for one in made.listed() if one.kind == "endpoint"] == [hours]


def test_an_asynchronous_endpoint_at_rest_has_no_hours(
    aws: AwsServer, bundles: tuple[Bundle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy(bundles[0], mode="async")
    found = state.endpoint(made.clients, NAME)
    assert found
    monkeypatch.setattr(
        references, "endpoints", lambda clients: [replace(found, count=0, counts={"AllTraffic": 0})]
    )
    assert [one.instance_hours for one in made.listed() if one.kind == "endpoint"] == [0]
