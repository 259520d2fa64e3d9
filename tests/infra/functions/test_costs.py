"""What Flex Consumption bills: examples that were worked by hand, with the list prices of eastus2
of 2026-10-05."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxferry.infra.functions.costs import estimate
from onnxferry.infra.prices import table
from onnxferry.infra.prices.estimate import CostElsewhere, CostEstimate
from onnxferry.infra.prices.pricing import Asked
from onnxferry.infra.target_tables import Functions
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse.record import RehearsalRecord
from tests.fakes.azure.fake import SUBSCRIPTION

PACKAGE = Package("functions", "m", Path("out/functions/m/function.zip"), "a" * 64, 1, "3.12", ())
REHEARSED = RehearsalRecord(
    sha256=PACKAGE.sha256,
    python="3.12",
    runtime="the Azure Functions worker",
    start_seconds=1.0,
    latency_p50_ms=20.0,
    latency_p95_ms=30.0,
    cpu_ms=38.0,
    memory_mib=180.0,
    cpus=2,
    machine="AMD EPYC, 2 CPUs",
)


def estimated(
    requests: int | None = None,
    rehearsed: RehearsalRecord | None = REHEARSED,
    region: str = "eastus2",
    **keys: Any,
) -> CostEstimate:
    base = {"subscription": SUBSCRIPTION, "resource_group": "g", "location": region}
    config = Functions(**base, requests_per_month=requests, **keys)
    return estimate(Asked(config, region, 0, PACKAGE, rehearsed, table.read("functions")))


def total(found: CostEstimate) -> tuple[str, str]:
    assert found.total, found.unknown
    least, most = (f"{x.normalize():f}" for x in found.total)
    return least, most


def quantities(found: CostEstimate) -> dict[str, tuple[float, float]]:
    return {line.meter: (float(line.quantity[0]), float(line.quantity[1])) for line in found.lines}


def test_a_million_requests() -> None:
    """Alone 1 s x 2 GB each: 2,000,000 - 100,000 GB-s at 0.000026 are 49.40; busy 38 ms x 2 GB
    each: 76,000 GB-s, which are free. 750,000 executions at 0.40 a million are 0.30."""
    found = estimated(1_000_000)
    assert total(found) == ("0.3", "49.7")
    assert quantities(found) == {
        "on_demand_gb_second": (0, 1_900_000),
        "on_demand_million_executions": (0.75, 0.75),
    }
    assert (found.region, found.date, found.currency) == ("eastus2", "2026-10-05", "USD")


@pytest.mark.parametrize(
    ("requests", "memory", "most"),
    [
        (50_000, 2048, "0"),  # 100,000 GB-s
        (50_001, 2048, "0.000052"),  # 2 GB-s more
        (25_000, 4096, "0"),
        (200_000, 512, "0"),
        (250_000, 512, "0.65"),  # 125,000 GB-s, and the last free execution
        (250_001, 512, "0.6500134"),  # 0.5 GB-s and one execution more
    ],
)
def test_the_edge_of_what_is_free(requests: int, memory: int, most: str) -> None:
    assert total(estimated(requests, instance_memory_mb=memory))[1] == most


def test_zero_requests_need_no_rehearsal() -> None:
    assert total(estimated(0, None)) == ("0", "0")
    assert total(estimated(0, None, "westeurope")) == ("0", "0")
    # 2 x 0.5 GB x 2,628,000 s at 0.000004
    found = estimated(0, None, always_ready=2, instance_memory_mb=512)
    assert total(found) == ("10.512", "10.512")


@pytest.mark.parametrize(
    ("concurrency", "busy"),
    [(None, 0.005), (1, 0.02), (10, 0.002), (100, 0.001)],  # seconds of an instance a request
)
def test_requests_at_a_time_share_an_instance(concurrency: int | None, busy: float) -> None:
    """Of a request of 20 ms and 1 ms of CPU; by itself the instance takes four at a time."""
    waiting = replace(REHEARSED, cpu_ms=1.0)
    found = estimated(10**9, waiting, http_concurrency=concurrency)
    assert quantities(found)["on_demand_gb_second"][0] == busy * 2 * 10**9 - 100_000


@pytest.mark.parametrize(
    ("memory", "busy", "alone"), [(512, 4.8, 9.9), (2048, 1.2, 2.5), (4096, 0.6, 1.3)]
)
def test_an_instance_is_slower_by_its_cores(memory: int, busy: float, alone: float) -> None:
    """1.2 s of CPU on 0.25, 1 or 2 cores; and 1,230 ms of two CPUs, of which the instance has an
    eighth, a half or all. Each is rounded up to 100 ms."""
    slow = replace(REHEARSED, latency_p50_ms=610.0, latency_p95_ms=1230.0, cpu_ms=1200.0)
    found = estimated(10**6, slow, instance_memory_mb=memory)
    bounds = tuple(x * memory / 1024 * 10**6 - 100_000 for x in (busy, alone))
    assert quantities(found)["on_demand_gb_second"] == pytest.approx(bounds)


def test_always_ready_takes_what_it_has_time_for() -> None:
    """There: 2 GB x 2,628,000 s at 0.000004 are 21.024. Active: 7,600 to 200,000 GB-s at 0.000016;
    100,000 executions 0.04. Nothing is free, and nothing runs on demand."""
    found = estimated(100_000, always_ready=1)
    assert total(found) == ("21.1856", "24.264")
    assert [line.free for line in found.lines] == [0, 0, 0]
    assert any("Always ready" in said for said in found.assumptions)


def test_the_rest_runs_on_demand() -> None:
    """Of 10,000,000 s one instance has time for 2,628,000: 5,256,000 GB-s at 0.000016 are 84.096,
    and 2.628 million executions 1.0512. The other 14,744,000 - 100,000 GB-s at 0.000026 are
    380.744, and 7.372 - 0.25 million executions 2.8488. Busy all run there: 12.16 and 4."""
    found = estimated(10_000_000, always_ready=1)
    assert total(found) == ("37.184", "489.764")


def test_a_region_without_confirmed_prices() -> None:
    found = estimated(1_000_000, region="westeurope")
    assert found.total is None
    assert (found.date, found.source) == ("", "")
    assert {line.price for line in found.lines} == {None}
    assert quantities(found)["on_demand_gb_second"] == (0, 1_900_000)
    low, high = Decimal("0.3"), Decimal("49.7")
    assert found.elsewhere == (
        CostElsewhere("eastus", "2026-07-30", "USD", (low, high)),
        CostElsewhere("eastus2", "2026-10-05", "USD", (low, high)),
        # 1,900,000 x 0.000037 + 0.30
        CostElsewhere("southeastasia", "2026-10-03", "USD", (low, Decimal("70.6"))),
    )
    text = "\n".join(found.text())
    assert "Cost a month in westeurope, 1,000,000 requests: not known: no price" in text
    assert "It would be 0.30 to 70.60 USD in southeastasia (prices of 2026-10-03)." in text


def test_a_region_of_which_some_prices_are_known() -> None:
    found = estimated(100_000, region="southeastasia", always_ready=1)
    assert found.total is None
    assert "the prices of 2026-10-03 lack always_ready_baseline_gb_second, " in found.unknown
    assert [other.region for other in found.elsewhere] == ["eastus", "eastus2", "swedencentral"]


@pytest.mark.parametrize(
    ("rehearsed", "why"),
    [
        (None, "no rehearsal of this package is recorded"),
        (
            replace(REHEARSED, sha256="b" * 64),
            "the last rehearsal was of another package (bbbbbbbbbbbb)",
        ),
    ],
)
def test_without_a_rehearsal_of_this_package(rehearsed: RehearsalRecord | None, why: str) -> None:
    found = estimated(100, rehearsed)
    assert (found.total, found.lines) == (None, ())
    (line,) = found.text()
    assert line.startswith(f"Cost a month in eastus2, 100 requests: not known: {why}; rehearse it")
    assert line.endswith("rehearse --target functions --python 3.12 --out out.")


def test_without_a_number_of_requests_one_line_says_how() -> None:
    (line,) = estimated().text()
    assert "--set requests_per_month=100000" in line


def test_what_people_read() -> None:
    head, *rest = estimated(1_000_000).text()
    assert head.startswith("Cost a month in eastus2, 1,000,000 requests: 0.30 to 49.70 USD (prices")
    assert "of 2026-10-05: Azure Retail Prices API" in head
    assert rest[0].strip() == (
        "on demand, while active: 0 to 1,900,000 GB-s beyond the free 100,000, at 0.000026: 0.00"
        " to 49.40 USD"
    )
    text = "\n".join(rest)
    assert "20 ms (p95 30) and 38 ms of CPU a request, on 2 CPUs" in text
    assert "has 1 core and takes 4 requests at a time" in text
    assert "Not counted: " in text


@settings(max_examples=60, deadline=None)
@given(
    requests=st.integers(1, 10**10),
    memory=st.sampled_from((512, 2048, 4096)),
    always=st.integers(0, 1000),
    latency=st.floats(0.1, 60_000),
    cpu=st.floats(0, 60_000),
    cpus=st.integers(1, 128),
)
def test_the_least_is_never_over_the_most(
    *, requests: int, memory: int, always: int, latency: float, cpu: float, cpus: int
) -> None:
    rehearsed = replace(
        REHEARSED, latency_p50_ms=latency, latency_p95_ms=latency, cpu_ms=cpu, cpus=cpus
    )
    keys: dict[str, Any] = {"instance_memory_mb": memory, "always_ready": always}
    found = estimated(requests, rehearsed, maximum_instance_count=1000, **keys)
    assert found.total
    assert 0 <= found.total[0] <= found.total[1]
