"""A batch benchmark as tables, as data, and as a document's section."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from onnxferry.scripts import sections, tables
from onnxferry.scripts.benchmark.batch import figures
from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, EngineResult
from onnxferry.scripts.machine import machine

Rows = tuple[list[str], list[list[str]]]  # the columns, and a row for each engine


@dataclass(frozen=True)
class BatchBenchmark:
    """What was measured: `asked` in words, against `baseline`, the answers against those of
    `reference`. `projections`: rows and CPUs. `price`: what an hour of a CPU costs. `load`: the
    machine's own, before."""

    title: str
    asked: str
    settings: BenchmarkSettings
    engines: tuple[EngineResult, ...]
    baseline: EngineResult
    reference: EngineResult
    projections: tuple[tuple[int, int], ...]
    price: float
    currency: str
    load: float
    skipped: tuple[str, ...] = ()


def heading(done: BatchBenchmark) -> str:
    """What was asked, and how, in a sentence."""
    settings, warm = done.settings, "after a first one that counts as start-up"
    return f"{settings.task}: {done.asked}, {settings.rounds} rounds {warm}, one thread a worker"


def speeds(done: BatchBenchmark) -> Rows:
    """A row for each engine."""
    name = done.baseline.spec.name
    columns = [
        "engine",
        "workers",
        "rows",
        "rows/s",
        f"against {name}",
        "against 1 worker",
        "CPU ms a row",
    ]
    columns += [f"CPU, against {name}", "start s", "MiB a worker", "MiB of the JVM"]
    columns.append(f"answers of {done.reference.spec.name}")
    return columns, [_speed(done, engine) for engine in done.engines]


def _speed(done: BatchBenchmark, engine: EngineResult) -> list[str]:
    count, base = figures.workers(engine.spec), done.baseline
    against = "1" if engine is base else str(figures.times_as_fast(engine, base))
    one = figures.alone(engine, done.engines)
    return [
        engine.spec.name,
        str(count),
        str(engine.rounds[-1].items),
        f"{figures.rate(engine):.1f}",
        against if count == figures.workers(base.spec) else "",
        str(figures.times_as_fast(engine, one)) if one else "",
        _computed(engine),
        "1" if engine is base else str(figures.times_less_cpu(engine, base) or ""),
        f"{figures.start(engine):.1f}",
        *map(_mebibytes, memory(engine)),
        f"{figures.same_answers(engine, done.reference, done.settings.task):.1%}",
    ]


def _computed(engine: EngineResult) -> str:
    known = figures.cpu_rates(engine)
    return f"{1000 / statistics.median(known):.2f}" if known else ""


def memory(engine: EngineResult) -> tuple[int | None, int | None]:
    """The most bytes of a worker, and of Spark's JVM beside it, if there is one."""
    below = engine.rounds[-1].below
    return below.get("python", engine.memory), below.get("java")


def _mebibytes(size: int | None) -> str:
    return f"{size / 2**20:.0f}" if size else ""


def projection(done: BatchBenchmark) -> Rows:
    """A row for each engine with one worker."""
    columns = ["engine"]
    for rows, cpus in done.projections:
        columns += [f"{rows:,} rows on {cpus} CPU{'s' * (cpus > 1)}", done.currency]
    rows_of = [engine for engine in done.engines if figures.workers(engine.spec) == 1]
    return columns, [[e.spec.name, *_projected(done, e)] for e in rows_of]


def _projected(done: BatchBenchmark, engine: EngineResult) -> list[str]:
    cells: list[str] = []
    for asked in done.projections:
        found = figures.projected(engine, done.engines, asked, done.price)
        cells += [_duration(found.hours), f"{found.cost:,.2f}"]
    return cells


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.1f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"


def terminal(done: BatchBenchmark) -> list[Table]:
    """Both tables."""
    price = f"at {done.price:g} {done.currency} for an hour of a CPU"
    return [
        tables.terminal(heading(done), *speeds(done)),
        tables.terminal(f"projected, {price}", *projection(done)),
    ]


def markdown(done: BatchBenchmark, command: str) -> str:
    """The section of a document."""
    named = [f"{name} {version}" for e in done.engines for name, version in e.versions.items()]
    busy = f"load of the machine before: {done.load:.2f}"
    versions = ", ".join(dict.fromkeys(named))
    parts = [
        f"{heading(done)}. {machine()}, {busy}; {versions}.",
        tables.markdown(*speeds(done)),
        f"Projected, not measured: {_assumptions(done)}",
        tables.markdown(*projection(done)),
    ]
    if done.skipped:
        parts.append(f"Not installed where this was measured: {', '.join(done.skipped)}.")
    return sections.section(done.title, command, *parts)


def _assumptions(done: BatchBenchmark) -> str:
    price = f"an hour of one CPU costs {done.price:g} {done.currency} (`--price`)"
    pairs = [(e.spec.name, figures.efficiency(e, done.engines)) for e in done.engines]
    kept = ", ".join(f"{name} {share:.0%}" for name, share in pairs if share is not None)
    more = f"those for which more workers were measured keep so much of it ({kept})" if kept else ""
    said = "CPUs are like those of this machine, and each of several as fast as one"
    return f"{price}; {said}{more and '; ' + more}. Start-up counts once for each."


def data(done: BatchBenchmark) -> dict[str, Any]:
    """What --output json writes."""
    return {
        "title": done.title,
        "asked": done.asked,
        "machine": machine(),
        "load_before": done.load,
        "plan": asdict(done.settings),
        "baseline": done.baseline.spec.name,
        "answers_of": done.reference.spec.name,
        "price": done.price,
        "currency": done.currency,
        "engines": [_record(done, engine) for engine in done.engines],
        "skipped": list(done.skipped),
    }


def _record(done: BatchBenchmark, engine: EngineResult) -> dict[str, Any]:
    spec, one = engine.spec, figures.alone(engine, done.engines)
    worker, beside = memory(engine)
    less = figures.times_less_cpu(engine, done.baseline)
    record: dict[str, Any] = {
        "name": spec.name,
        "engine": spec.kind,
        "model_path": str(spec.path),
        "workers": figures.workers(engine.spec),
        "environment": dict(spec.environment),
        "versions": dict(engine.versions),
        "rows_per_sec": figures.rate(engine),
        "rounds": figures.rates(engine),
        "rounds_per_cpu_second": figures.cpu_rates(engine),
        "load_seconds": engine.load,
        "start_seconds": figures.start(engine),
        "worker_memory_bytes": worker,
        "memory_beside_bytes": beside,
        "same_answers": figures.same_answers(engine, done.reference, done.settings.task),
        "times_as_fast": asdict(figures.times_as_fast(engine, done.baseline)),
        "times_less_cpu": less and asdict(less),
        "times_one_worker": asdict(figures.times_as_fast(engine, one)) if one else None,
    }
    if figures.workers(engine.spec) == 1:
        record["projected"] = [
            asdict(figures.projected(engine, done.engines, asked, done.price))
            for asked in done.projections
        ]
    return record
