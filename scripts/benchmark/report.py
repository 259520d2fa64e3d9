"""A benchmark as a table, as data with deepsparse.benchmark's keys, and as a document's section."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from onnxferry.scoring import cpu
from onnxferry.scripts import sections, tables
from onnxferry.scripts.benchmark import figures
from onnxferry.scripts.benchmark.engines import ENGINES
from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, EngineResult
from onnxferry.scripts.machine import machine

STREAMS = {"sync": "singlestream", "async": "multistream"}  # deepsparse.benchmark's names
DESCRIBED = {
    "sync": "one request after the other",
    "async": "{streams} requests at a time",
    "rate": "{rate:g} requests a second arrive (Poisson), {streams} answered at a time,"
    " latency from the arrival on",
    "cold": "a fresh process each time, from its start to the first answer",
}
_PERCENTILES = {"p50 ms": "50.0%", "p95 ms": "95.0%", "p99 ms": "99.0%"}


@dataclass(frozen=True)
class Benchmark:
    """What was measured: `asked` in words, `batch` items a request, of a model with `labels`
    labels. Engines that are not installed were `skipped`."""

    title: str
    asked: str
    batch: int
    labels: int
    settings: BenchmarkSettings
    engines: tuple[EngineResult, ...]
    baselines: tuple[EngineResult, ...]
    skipped: tuple[str, ...] = ()

    @property
    def cold(self) -> bool:
        """Whether cold starts were measured."""
        return self.settings.scenario == "cold"

    def compared(self, engine: EngineResult) -> list[figures.Comparison]:
        """The engine against each baseline."""
        return [figures.compare(engine, b, self.settings, self.labels) for b in self.baselines]


def heading(done: Benchmark) -> str:
    """What was asked, and how, in a sentence."""
    settings = done.settings
    way = DESCRIBED[settings.scenario].format(streams=settings.streams, rate=settings.rate or 0)
    first = " (the first request)" if done.cold else ""
    asked = f"{done.asked}, {done.batch} a request{first}"
    return f"{settings.task}: {asked}, {way}, {settings.rounds} rounds"


def table(done: Benchmark) -> Table:
    """For the terminal."""
    return tables.terminal(heading(done), *_table(done))


def _table(done: Benchmark) -> tuple[list[str], list[list[str]]]:
    """The columns, and a row for each engine."""
    timing = ["first answer s", "least", "most"] if done.cold else ["items/s", *_PERCENTILES]
    names = [baseline.spec.name for baseline in done.baselines]
    ratios = [f"against {name}" for name in names]
    ratios += [f"memory, against {name}" for name in names] if done.cold else []
    columns = ["engine", *timing, "load s", "MiB", f"answers of {names[0]}", *ratios]
    return columns, [_row(done, engine) for engine in done.engines]


def _row(done: Benchmark, engine: EngineResult) -> list[str]:
    timing = (_cold if done.cold else _warm)(engine)
    memory = f"{engine.memory / 2**20:.0f}" if engine.memory else ""
    found = done.compared(engine)
    head = [engine.spec.name, *timing, f"{engine.load:.2f}", memory]
    told = [*map(str, found), *(map(_less, found) if done.cold else ())]
    own = [baseline is engine for baseline in done.baselines] * 2
    ratios = ["1" if is_own else text for is_own, text in zip(own, told, strict=False)]
    return [*head, f"{found[0].same_answers:.1%}", *ratios]


def terms_table(done: Benchmark) -> Table:
    """What each engine ran with, for the terminal."""
    return tables.terminal(_terms_title(done), *_terms(done))


def _terms_title(done: Benchmark) -> str:
    return f"What each ran with; it may use {done.settings.cores or cpu.available()} CPUs"


def _terms(done: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Versions; threads that computed, and how many CPUs they kept busy; how counts were chosen."""
    columns = ["engine", "versions", "threads", "CPUs busy", "the quickest of"]
    return columns, [_terms_row(done, engine) for engine in done.engines]


def _terms_row(done: Benchmark, engine: EngineResult) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
    threads = statistics.median_high(r.threads for r in engine.rounds)
    busy = statistics.median(r.cpu / r.seconds for r in engine.rounds)
    shown = [f"{threads}", f"{busy:.2f}"] if threads else ["", ""]
    return [engine.spec.name, versions, *shown, _trials(done, engine)]


def _trials(done: Benchmark, engine: EngineResult) -> str:
    """Every value that was tried with what it cost, the quickest first."""
    rate = done.settings.scenario == "rate"
    told = []
    for trial in sorted(engine.trials, key=lambda trial: trial.cost):
        counts = " ".join(f"{key} {value}" for key, value in trial.options.items())
        cost = f"{1000 * trial.cost:.1f} ms" if rate else f"{1 / trial.cost:.1f}/s"
        told.append(f"{counts}: {cost}")
    return "; ".join(told)


def _less(found: figures.Comparison) -> str:
    return f"{found.times_less_memory:.2f}x less" if found.times_less_memory else ""


def _warm(engine: EngineResult) -> list[str]:
    at = figures.percentiles(engine.rounds)
    speed = figures.items_per_second(engine.rounds)
    return [f"{speed:.1f}", *(f"{at[name]:.2f}" for name in _PERCENTILES.values())]


def _cold(engine: EngineResult) -> list[str]:
    seconds = [r.seconds for r in engine.rounds]
    return [f"{value:.3f}" for value in (statistics.median(seconds), min(seconds), max(seconds))]


def data(done: Benchmark) -> dict[str, Any]:
    """What --export and --output json write: the first engine's record, and that of each."""
    records = [record(done, engine) for engine in done.engines]
    return {
        **records[0],
        "title": done.title,
        "task": done.settings.task,
        "asked": done.asked,
        "machine": machine(),
        "plan": asdict(done.settings),
        "against": [baseline.spec.name for baseline in done.baselines],
        "engines": records,
        "skipped": list(done.skipped),
    }


def record(done: Benchmark, engine: EngineResult) -> dict[str, Any]:
    """The keys of deepsparse.benchmark's export, null where there is no such thing, and more."""
    settings, spec = done.settings, engine.spec
    scenario = STREAMS.get(settings.scenario, settings.scenario)
    names = [baseline.spec.name for baseline in done.baselines]
    return {
        "engine": spec.kind,
        "version": engine.versions.get(ENGINES[spec.kind].packages[0]),
        "orig_model_path": str(spec.path),
        "model_path": str(spec.path.resolve()),
        "batch_size": done.batch,
        "input_shapes": None,
        "num_cores": settings.cores or cpu.available(),
        "scenario": scenario,
        "scheduler": None,
        "seconds_to_run": settings.seconds * settings.rounds,
        "num_streams": settings.streams,
        "benchmark_result": figures.result(engine.rounds, scenario),
        "fraction_of_supported_ops": None,
        "name": spec.name,
        "options": dict(spec.options),
        "environment": dict(spec.environment),
        "versions": dict(engine.versions),
        "trials": [asdict(trial) for trial in engine.trials],
        "load_seconds": engine.load,
        "peak_memory_bytes": engine.memory,
        "rounds": [{**asdict(r), "latencies": len(r.latencies)} for r in engine.rounds],
        "against": dict(zip(names, map(asdict, done.compared(engine)), strict=True)),
    }


def markdown(done: Benchmark, command: str, picture: str | None) -> str:
    """The section of a document. `picture` is the plot's path from the document's folder."""
    parts = [f"{heading(done)}. {machine()}.", tables.markdown(*_table(done))]
    parts += [f"**{_terms_title(done)}**", tables.markdown(*_terms(done))]
    if done.skipped:
        parts.append(f"Not installed where this was measured: {', '.join(done.skipped)}.")
    if picture:
        parts.append(f"![{done.title}]({picture})")
    return sections.section(done.title, command, *parts)
