"""What SageMaker bills in a month, by the mode an endpoint serves in.

Instances are billed by the hour while they are there, whether they are asked or not; of an
asynchronous endpoint also, so that it costs nothing only while it has none. A serverless endpoint
is billed for the time in which it works at requests, by the millisecond and by its memory, and for
containers that are kept ready. Where the amount depends on how requests come, it is between bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from onnxferry.infra.prices.estimate import NOTHING, CostEstimate, CostLine, Range
from onnxferry.infra.prices.hourly import NOT_COUNTED, hourly
from onnxferry.infra.prices.pricing import HOURS, Asked, priced, unrehearsed
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.target_tables.sagemaker import Async, RealTime, Serverless
from onnxferry.scripts.rehearse.record import RehearsalRecord

_MONTH = Decimal(HOURS)  # hours
_SECONDS = 3600
_START = Decimal(600)  # seconds until a new instance is there, as it is taken
_FEW = "set requests_per_month in [sagemaker], or --set requests_per_month=100000"
_SHADOW = "The shadow's instances are counted, too"
_SCALED = "The least is with scaling.min all month, the most with scaling.max"
_DATA = "Not counted: requests and answers by the GB, storage, the candidate of an update"
Sage = Asked[SageMaker]


def estimate(asked: Sage) -> CostEstimate:
    """By the mode; without a total where a price, the load or a rehearsal is missing."""
    return _MODES[type(asked.settings.serving)](asked)


def _real_time(asked: Sage) -> CostEstimate:
    return hourly(asked, _fleets(asked), *_said(asked.settings))


def _said(settings: SageMaker) -> Iterator[str]:
    if settings.scaling:
        yield _SCALED
    if settings.rollout.shadow:
        yield _SHADOW
    yield NOT_COUNTED


def _fleets(asked: Sage) -> Mapping[str, Range]:
    """Instances by type, the least and the most, of all variants: the further ones as many as are
    configured, the first what else of `count` runs, or what scaling lets run."""
    settings, serving = asked.settings, asked.settings.serving
    further = getattr(serving, "variants", {}).values()
    running = Decimal(max(0, asked.count - sum(one.instance_count for one in further)))
    scaling, bounds = settings.scaling, (running, running)  # a shadow is among what runs
    if scaling:
        beside = getattr(serving, "instance_count", 0) if settings.rollout.shadow else 0
        bounds = (Decimal(scaling.min + beside), Decimal(scaling.max + beside))
    kind: str = getattr(serving, "instance_type", "")
    fleets: dict[str, Range] = {kind: bounds}
    for one in further:
        least, most = fleets.get(one.instance_type, (NOTHING, NOTHING))
        more = Decimal(one.instance_count)
        fleets[one.instance_type] = (least + more, most + more)
    return fleets


def _asynchronous(asked: Sage) -> CostEstimate:
    settings, scaling = asked.settings, asked.settings.scaling
    if scaling is None or scaling.min:
        return _real_time(asked)
    serving: Any = settings.serving
    most = Decimal(scaling.max) * _MONTH
    requests, rehearsed = settings.requests_per_month, asked.rehearsed
    if requests is None:
        said = f"The least is without any request, the most with one all the time; {_FEW}"
        return hourly(asked, {serving.instance_type: (NOTHING, most / _MONTH)}, said, NOT_COUNTED)
    load = f"{requests:,} requests"
    if requests and (rehearsed is None or rehearsed.sha256 != asked.package.sha256):
        return CostEstimate(asked.region, load, unknown=unrehearsed(rehearsed, asked.package))
    hours = _working_hours(requests, rehearsed, serving.concurrency, scaling.scale_in_seconds)
    counted: Range = (min(most, hours[0]), min(most, hours[1]))
    said = (
        "The least is for requests one after the other, the most for such that come alone: each"
        f" then has an instance start ({_START / 60:g} minutes, as taken) and stay for the"
        f" cool-down of {scaling.scale_in_seconds} s"
    )
    kind = serving.instance_type
    line = CostLine(kind, kind, "hours", counted)
    return priced([line], asked.table, asked.region, load, said, NOT_COUNTED)


def _working_hours(
    requests: int, rehearsed: RehearsalRecord | None, concurrency: int, cool_down: int
) -> Range:
    """Hours of an instance that `requests` take: without a pause, and each alone."""
    if rehearsed is None:
        return NOTHING, NOTHING
    busy = _seconds(rehearsed.latency_p50_ms) / concurrency
    alone = _START + _seconds(rehearsed.latency_p95_ms) + cool_down
    return requests * busy / _SECONDS, requests * alone / _SECONDS


def _serverless(asked: Sage) -> CostEstimate:
    settings, requests = asked.settings, asked.settings.requests_per_month
    if requests is None:
        return CostEstimate(asked.region, "", unknown=_FEW)
    load, rehearsed = f"{requests:,} requests", asked.rehearsed
    if requests and (rehearsed is None or rehearsed.sha256 != asked.package.sha256):
        return CostEstimate(asked.region, load, unknown=unrehearsed(rehearsed, asked.package))
    seconds = _serving_seconds(requests, rehearsed)
    lines = list(_serverless_lines(settings, seconds))
    said = [*(_measured(rehearsed) if rehearsed and requests else ()), _DATA]
    return priced(lines, asked.table, asked.region, load, *said)


def _serving_seconds(requests: int, rehearsed: RehearsalRecord | None) -> Range:
    """Seconds that containers work: as fast as in the rehearsal, and with one core, where all of
    that machine's cores had helped."""
    if rehearsed is None:
        return NOTHING, NOTHING
    fast, slow = _seconds(rehearsed.latency_p50_ms), _seconds(rehearsed.latency_p95_ms)
    return requests * fast, requests * max(fast, slow * rehearsed.cpus)


def _serverless_lines(settings: SageMaker, seconds: Range) -> Iterator[CostLine]:
    """The meters of the container's size."""
    serving: Any = settings.serving
    size, ready = serving.memory_mb // 1024, serving.provisioned_concurrency
    if not ready:
        words = f"serverless, {size} GB, while at work"
        yield CostLine(f"serverless_{size}gb_second", words, "s", seconds)
        return
    kept: Range = (Decimal(ready), Decimal(ready))
    if scaling := settings.scaling:
        kept = (Decimal(scaling.min), Decimal(scaling.max))
    least, most = (count * _MONTH * _SECONDS for count in kept)
    words = f"provisioned, {size} GB"
    meter = f"provisioned_{size}gb"
    yield CostLine(f"{meter}_ready_second", f"{words}, for being ready", "s", (least, most))
    yield CostLine(f"{meter}_second", f"{words}, while at work", "s", seconds)


def _measured(rehearsed: RehearsalRecord) -> Iterator[str]:
    """What the bounds rest on, for people."""
    yield (
        "The least is for requests as fast as in the rehearsal (p50"
        f" {rehearsed.latency_p50_ms:.4g} ms), the most for a container that has one core where the"
        f" rehearsal had {rehearsed.cpus} (p95 {rehearsed.latency_p95_ms:.4g} ms,"
        f" {rehearsed.machine}); how many it has is not documented"
    )


def _seconds(ms: float) -> Decimal:
    return Decimal(str(ms)) / 1000


_MODES: Mapping[type, Callable[[Sage], CostEstimate]] = {
    RealTime: _real_time,
    Async: _asynchronous,
    Serverless: _serverless,
}
