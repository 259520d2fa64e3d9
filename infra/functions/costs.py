"""What Azure Functions on Flex Consumption bills for a month's requests, between bounds.

An instance is billed by its memory for the time in which it executes at least one function; a
period of activity counts 1,000 ms at least, and is rounded up to 100 ms beyond. Requests at the
same time share it, so that the cost depends on how they come: the least is for instances whose
cores are busy without a pause, the most for requests of which each comes alone ("Flex Consumption
plan hosting", Billing). An always ready instance is billed for being there, and less for being
active, without anything free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from onnxferry.infra.functions.sizing import Need, Sizing, sizing
from onnxferry.infra.prices.estimate import NOTHING, CostEstimate, CostLine
from onnxferry.infra.prices.pricing import HOURS, Asked, priced, unrehearsed
from onnxferry.infra.target_tables import Functions
from onnxferry.scripts.rehearse.record import RehearsalRecord

_MONTH = Decimal(HOURS * 3600)  # seconds
_LEAST, _STEP = Decimal(1), Decimal("0.1")  # seconds of activity that are billed
_MILLION = Decimal(10**6)
_FEW = "set requests_per_month in [functions], or --set requests_per_month=100000"
_READY = "Always ready instances take all requests that they have time for"
_NOT_COUNTED = (
    "Not counted: starts of instances, the candidate of an update, Application Insights by the GB,"
    " storage, outgoing traffic, and that other apps of the subscription use up what is free"
)


@dataclass(frozen=True)
class _Activity:
    """How long an instance is active for one request, in seconds: `busy` where its cores never
    rest, and `alone` where each request is the only one, as billed."""

    busy: Decimal
    alone: Decimal


def estimate(asked: Asked[Functions]) -> CostEstimate:
    """For requests_per_month, by the rehearsal of this very package; without a total where either
    is missing, or a price."""
    settings, requests = asked.settings, asked.settings.requests_per_month
    if requests is None:
        return CostEstimate(asked.region, "", unknown=_FEW)
    load = f"{requests:,} requests"
    if not requests:
        lines = _lines(settings, NOTHING, _Activity(NOTHING, NOTHING))
        return priced(list(lines), asked.table, asked.region, load, _NOT_COUNTED)
    rehearsed = asked.rehearsed
    if rehearsed is None or rehearsed.sha256 != asked.package.sha256:
        return CostEstimate(asked.region, load, unknown=unrehearsed(rehearsed, asked.package))
    need = Need.of(asked.package, settings.environment)  # as `desired` has it
    sized = sizing(settings.instance_memory_mb, need, settings.http_concurrency)
    activity = _activity(rehearsed, sized)
    said = [*_measured(rehearsed, sized, activity), _NOT_COUNTED]
    if settings.always_ready:
        said.insert(-1, _READY)
    lines = _lines(settings, Decimal(requests), activity)
    return priced(list(lines), asked.table, asked.region, load, *said)


def _activity(rehearsed: RehearsalRecord, sized: Sizing) -> _Activity:
    """Of an instance whose cores are like those of the rehearsal's machine. A request needs its CPU
    time, and its latency where too few are let in to fill the cores; alone it takes as long as it
    did there, and longer where all of that machine's cores helped it and the instance has less."""
    cores = Decimal(str(sized.cores))
    shared = _seconds(rehearsed.latency_p50_ms) / sized.http_concurrency
    busy = max(_seconds(rehearsed.cpu_ms) / cores, shared)
    alone = max(busy, _seconds(rehearsed.latency_p95_ms) * max(Decimal(1), rehearsed.cpus / cores))
    billed = (alone / _STEP).to_integral_value(ROUND_CEILING) * _STEP
    return _Activity(busy, max(_LEAST, billed))


def _lines(settings: Functions, requests: Decimal, activity: _Activity) -> Iterator[CostLine]:
    """The meters, each for busy instances and for requests alone. What always ready instances have
    no time for runs on demand."""
    memory, always = Decimal(settings.instance_memory_mb) / 1024, Decimal(settings.always_ready)
    active = [requests * seconds for seconds in (activity.busy, activity.alone)]
    ready = [min(seconds, always * _MONTH) for seconds in active]
    pairs = list(zip(ready, active, strict=True))
    share = [mine / every if every else min(always, Decimal(1)) for mine, every in pairs]
    if always:
        there = always * _MONTH * memory
        yield _line("always_ready_baseline_gb_second", [there, there])
        yield _line("always_ready_gb_second", [seconds * memory for seconds in ready])
        yield _line("always_ready_million_executions", [x * requests / _MILLION for x in share])
    if not always or share[1] < 1:
        yield _line("on_demand_gb_second", [(every - mine) * memory for mine, every in pairs])
        yield _line("on_demand_million_executions", [(1 - x) * requests / _MILLION for x in share])


_METERS = {  # of infra/prices/functions.json
    "always_ready_baseline_gb_second": ("always ready, for being there", "GB-s"),
    "always_ready_gb_second": ("always ready, while active", "GB-s"),
    "always_ready_million_executions": ("always ready, requests", "million"),
    "on_demand_gb_second": ("on demand, while active", "GB-s"),
    "on_demand_million_executions": ("on demand, requests", "million"),
}


def _line(meter: str, quantity: list[Decimal]) -> CostLine:
    least, most = quantity
    return CostLine(meter, *_METERS[meter], (least, most))


def _measured(rehearsed: RehearsalRecord, sized: Sizing, activity: _Activity) -> Iterator[str]:
    """What the bounds rest on, for people."""
    yield (
        f"The least is for cores that are busy without a pause ({_ms(activity.busy)} ms of an"
        f" instance a request), the most for requests that come alone ({activity.alone} s, as"
        f" billed; {_LEAST} s is the least that is)"
    )
    yield (
        f"The rehearsal took {rehearsed.latency_p50_ms:.4g} ms (p95 {rehearsed.latency_p95_ms:.4g})"
        f" and {rehearsed.cpu_ms:.4g} ms of CPU a request, on {rehearsed.cpus} CPUs"
        f" ({rehearsed.machine})"
    )
    yield (
        f"An instance of {sized.memory_mb} MB has {_cores(sized.cores)} and takes"
        f" {sized.http_concurrency} requests at a time; its cores are taken to be as fast as those"
        " of the rehearsal, which is not known"
    )


def _cores(cores: float) -> str:
    return f"{cores:g} core{'' if cores == 1 else 's'}"


def _seconds(ms: float) -> Decimal:
    return Decimal(str(ms)) / 1000


def _ms(seconds: Decimal) -> str:
    return f"{float(seconds) * 1000:.4g}"
