"""python -m scripts.benchmark.batch: how fast engines score many rows, a worker on a core."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click import option

from onnxferry.scoring import cpu
from onnxferry.scripts import sections
from onnxferry.scripts.benchmark import __main__ as benchmark
from onnxferry.scripts.benchmark import figures, inputs, rounds, specs
from onnxferry.scripts.benchmark.batch import report
from onnxferry.scripts.benchmark.batch.figures import SAID, workers
from onnxferry.system import console, options
from onnxferry.system.errors import UsageError
from onnxferry.system.options import COUNT, FILE

KINDS = ("rows", "pyfunc", "spark", "spark_udf")  # read Parquet files and answer all of their rows
OF_ONE_PROCESS = ("rows", "pyfunc")  # whose workers are threads
ENGINE = f"An engine and its model; repeat it. Kinds: {', '.join(KINDS)}. Options: workers (1), and"
ENGINE += " copies (1): how many times it gets the rows in one job, for one that is soon done."
BASELINE = "Compare with this engine. Default: the first."
PROJECT = "Project so many rows on so many CPUs; repeat it."
PROJECTIONS = ("1000000:1", "1000000000:64")
PRICE = "Of an hour of one CPU, for the projection: an assumption, not a measurement."
NOT_SHOWN = {"--out", "--python", "--output", "--title"}


@options.command()
@option("-e", "--engine", multiple=True, required=True, metavar=benchmark.SPEC, help=ENGINE)
@option("--python", multiple=True, metavar="KIND=PATH", help=benchmark.PYTHON)
@option("--baseline", metavar="NAME", help=BASELINE)
@option(
    "--answers-of", metavar="NAME", help="Compare answers with this engine's. Default: --baseline."
)
@option("--task", help="By default what the first engine's folder tells.")
@option("--data", type=benchmark.DATA, required=True, help="The items of a file ...")
@option("--limit", type=COUNT, help="... so many of them, evenly over the file.")
@option("--rounds", default=3, type=COUNT, help="Rounds; engines take turns.")
@option("--price", default=0.05, type=benchmark.RATE, help=PRICE)
@option("--currency", default="USD", help="Of --price.")
@option("--project", multiple=True, default=PROJECTIONS, metavar="ROWS:CPUS", help=PROJECT)
@option("--title", help="Of the document's section. Default: the task.")
@option("--out", type=FILE, help="A Markdown file: write or renew the section of this title.")
@options.output
def command(**flags: Any) -> None:
    """Measure how fast engines score many rows: all rows of Parquet files again and again, each
    engine in a process of its own with as many CPUs as workers, and one thread a worker."""
    before = os.getloadavg()[0]
    chosen = [_on_one_thread(spec) for spec in specs.parse(flags["engine"])]
    task = flags["task"] or specs.task_of(chosen)
    projections = tuple(map(_projection, flags["project"]))
    name = flags["baseline"] or chosen[0].name
    named = name, flags["answers_of"] or name
    figures.check_names(named, [spec.name for spec in chosen])
    rows, asked = _rows(flags, task, chosen)
    pythons = dict(benchmark.python(text, chosen) for text in flags["python"])
    # each has answered all rows once before the first round
    settings = rounds.BenchmarkSettings(
        task, rounds=flags["rounds"], warm_up=0, cores=1, pythons=pythons
    )

    def warn(text: str) -> None:
        console.err.print(f"[yellow]skipped[/yellow] {text}")

    with console.stage(f"{len(chosen)} engines, {len(rows)} rows") as progress:
        found = rounds.measure(chosen, [rows], settings, progress, warn)
    measured = {engine.spec.name: engine for engine in found}
    baseline, reference = (measured.get(name, found[0]) for name in named)
    done = report.BatchBenchmark(
        title=flags["title"] or f"Many rows: {task}",
        asked=asked,
        settings=settings,
        engines=tuple(found),
        baseline=baseline,
        reference=reference,
        projections=projections,
        price=flags["price"],
        currency=flags["currency"],
        load=before,
        skipped=tuple(spec.name for spec in chosen if spec.name not in measured),
    )
    _write(done, flags)


def _on_one_thread(spec: specs.EngineSpec) -> specs.EngineSpec:
    """With the threads that its process may have. Raises UsageError for another kind of engine."""
    if spec.kind not in KINDS:
        raise UsageError(f"--engine {spec.name}: rows are scored by {', '.join(KINDS)}")
    threads = workers(spec) if spec.kind in OF_ONE_PROCESS else 1
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "ONNXFERRY_ENGINE_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # of tokenizers
    }
    return replace(spec, environment={**environment, **spec.environment})


def _rows(
    flags: dict[str, Any], task: str, chosen: Sequence[specs.EngineSpec]
) -> tuple[list[Any], str]:
    """The rows, and what they are in words. Raises UsageError."""
    if task not in SAID:
        raise UsageError(f"--task {task}: rows are scored for {' and '.join(SAID)}")
    most, cpus = max(map(workers, chosen)), cpu.available()
    if most > cpus:
        raise UsageError(f"workers={most}: each needs a CPU of its own, and there are {cpus}")
    asked = inputs.BenchmarkInputs(data=flags["data"], items=flags["limit"])
    return inputs.read(asked, task, specs.labels_of(chosen)), str(asked)


def _projection(text: str) -> tuple[int, int]:
    rows, colon, cpus = text.partition(":")
    if not (colon and rows.isdecimal() and cpus.isdecimal() and int(rows) and int(cpus)):
        raise UsageError(f"--project {text}: expected ROWS:CPUS, like 1000000:1")
    return int(rows), int(cpus)


def _write(done: report.BatchBenchmark, flags: dict[str, Any]) -> None:
    if flags["output"] == "json":
        click.echo(json.dumps(report.data(done), indent=2))
    else:
        for table in report.terminal(done):
            console.out.print(table)
    out: Path | None = flags["out"]
    if out:
        again = sections.repeated("scripts.benchmark.batch", sys.argv[1:], NOT_SHOWN)
        sections.replace(out, done.title, report.markdown(done, again))


if __name__ == "__main__":
    command()
