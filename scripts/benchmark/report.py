"""A benchmark as a table for the eye, as data with deepsparse.benchmark's keys, and as a section of
a document."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from onnxferry.scoring import cpu
from onnxferry.scripts.benchmark import figures
from onnxferry.scripts.benchmark.engines import ENGINES
from onnxferry.scripts.benchmark.rounds import Measured, Plan
from onnxferry.scripts.machine import machine

# as deepsparse.benchmark names its scenarios
STREAMS = {"sync": "singlestream", "async": "multistream"}
WAYS = {
    "sync": "one request after the other",
    "async": "{streams} requests at a time",
    "rate": (
        "{rate:g} requests a second arrive (Poisson), {streams} answered at a time, latency from"
        " the arrival on"
    ),
    "cold": "a fresh process each time, from its start to the first answer",
}


@dataclass(frozen=True)
class Benchmark:
    """What was measured. `peers` are those that each engine is compared with, `skipped` those that
    are not installed; `asked` says what was asked."""

    title: str
    asked: str
    batch: int
    labels: int
    plan: Plan
    engines: tuple[Measured, ...]
    peers: tuple[Measured, ...]
    skipped: tuple[str, ...] = ()


def heading(done: Benchmark) -> str:
    way = WAYS[done.plan.scenario].format(streams=done.plan.streams, rate=done.plan.rate or 0)
    first = " (the first request)" if done.plan.scenario == "cold" else ""
    return (
        f"{done.plan.task}: {done.asked}, {done.batch} a request{first}, {way}, {done.plan.rounds}"
        " rounds"
    )


def table(done: Benchmark) -> Table:
    shown = Table(title=heading(done), title_justify="left")
    for i, column in enumerate(columns(done)):
        shown.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows(done):
        shown.add_row(*row)
    return shown


def columns(done: Benchmark) -> list[str]:
    timing = (
        ["first answer s", "least", "most"]
        if done.plan.scenario == "cold"
        else ["items/s", *_PERCENTILES]
    )
    ratios = [f"against {peer.spec.name}" for peer in done.peers]
    less = (
        [f"memory, against {peer.spec.name}" for peer in done.peers]
        if done.plan.scenario == "cold"
        else []
    )
    return [
        "engine",
        *timing,
        "load s",
        "MiB",
        f"answers of {done.peers[0].spec.name}",
        *ratios,
        *less,
    ]


_PERCENTILES = ("p50 ms", "p95 ms", "p99 ms")


def rows(done: Benchmark) -> list[list[str]]:
    return [_row(done, engine) for engine in done.engines]


def _row(done: Benchmark, engine: Measured) -> list[str]:
    plan = done.plan
    timing = (_cold if plan.scenario == "cold" else _warm)(engine)
    memory = f"{engine.memory / 2**20:.0f}" if engine.memory else ""
    same = f"{figures.same(engine, done.peers[0], plan.task, done.labels):.1%}"
    ratios = [
        _or_self(engine, peer, lambda e, p: str(figures.ratio(e, p, plan.scenario)))
        for peer in done.peers
    ]
    less = [_or_self(engine, peer, _less) for peer in done.peers] if plan.scenario == "cold" else []
    return [engine.spec.name, *timing, f"{engine.load:.2f}", memory, same, *ratios, *less]


def _or_self(engine: Measured, peer: Measured, shown: Callable[[Measured, Measured], str]) -> str:
    return "1" if engine is peer else shown(engine, peer)


def _less(engine: Measured, peer: Measured) -> str:
    found = figures.memory_ratio(engine, peer)
    return "" if found is None else f"{found:.2f}x less"


def _warm(engine: Measured) -> list[str]:
    at = figures.percentiles(engine.rounds)
    speed = figures.items_per_second(engine.rounds)
    return [f"{speed:.1f}", *(f"{at[name]:.2f}" for name in ("50.0%", "95.0%", "99.0%"))]


def _cold(engine: Measured) -> list[str]:
    seconds = [r.seconds for r in engine.rounds]
    return [f"{value:.3f}" for value in (statistics.median(seconds), min(seconds), max(seconds))]


def data(done: Benchmark) -> dict[str, Any]:
    """What --export and --output json write: the first engine's record at the top, as
    deepsparse.benchmark writes the one that it measures, and under `engines` the record of each."""
    records = [record(done, engine) for engine in done.engines]
    extra = {
        "title": done.title,
        "task": done.plan.task,
        "asked": done.asked,
        "machine": machine(),
        "plan": asdict(done.plan),
        "against": [peer.spec.name for peer in done.peers],
        "engines": records,
        "skipped": list(done.skipped),
    }
    return {**records[0], **extra}


def record(done: Benchmark, engine: Measured) -> dict[str, Any]:
    """The keys of deepsparse.benchmark's export, null where an engine has no such thing, then this
    one's own."""
    plan, spec = done.plan, engine.spec
    scenario = STREAMS.get(plan.scenario, plan.scenario)
    return {
        "engine": spec.kind,
        "version": engine.versions.get(ENGINES[spec.kind].packages[0]),
        "orig_model_path": str(spec.path),
        "model_path": str(spec.path.resolve()),
        "batch_size": done.batch,
        "input_shapes": None,
        "num_cores": plan.cores or cpu.available(),
        "scenario": scenario,
        "scheduler": None,
        "seconds_to_run": plan.seconds * plan.rounds,
        "num_streams": plan.streams,
        "benchmark_result": figures.result(engine.rounds, scenario),
        "fraction_of_supported_ops": None,
        "name": spec.name,
        "options": dict(spec.options),
        "environment": dict(spec.environment),
        "versions": dict(engine.versions),
        "load_seconds": engine.load,
        "peak_memory_bytes": engine.memory,
        "rounds": [{**asdict(r), "latencies": len(r.latencies)} for r in engine.rounds],
        "against": {peer.spec.name: _against(done, engine, peer) for peer in done.peers},
    }


def _against(done: Benchmark, engine: Measured, peer: Measured) -> dict[str, Any]:
    found = figures.ratio(engine, peer, done.plan.scenario)
    return {
        "times_as_fast": found.median,
        "least": found.least,
        "most": found.most,
        "times_less_memory": figures.memory_ratio(engine, peer),
        "same_answers": figures.same(engine, peer, done.plan.task, done.labels),
    }


def markdown(done: Benchmark, command: str, picture: str | None) -> str:
    """The section of a document: the command, what was asked of what and where, and the figures.
    `picture` is the plot's path from the document's folder."""
    lines = ["| " + " | ".join(row) + " |" for row in (columns(done), _rule(done), *rows(done))]
    parts = [
        f"## {done.title}",
        f"```\n{command}\n```",
        f"{heading(done)}. {machine()}; {versions(done.engines)}.",
    ]
    absent = (
        [f"Not installed where this was measured: {', '.join(done.skipped)}."]
        if done.skipped
        else []
    )
    shown = [f"![{done.title}]({picture})"] if picture else []
    return "\n\n".join([*parts, "\n".join(lines), *absent, *shown])


def _rule(done: Benchmark) -> list[str]:
    return ["---", *["---:"] * (len(columns(done)) - 1)]


def versions(engines: Sequence[Measured]) -> str:
    """Each version once; two interpreters may have different ones."""
    named = dict.fromkeys(
        f"{name} {version}" for engine in engines for name, version in engine.versions.items()
    )
    return ", ".join(named)
