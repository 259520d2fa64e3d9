"""onnxferry score INPUT OUTPUT --model DIR: the command line."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import argument, option

from onnxferry.system import console, options
from onnxferry.system.errors import BatchScoringError, UsageError
from onnxferry.system.options import COUNT

if TYPE_CHECKING:
    from onnxferry.scripts.score.job import Outcome, ScoreJob

ENGINES = {  # name -> a function of ScoreJob that gives its Outcome
    "local": "onnxferry.scripts.score.local:run",
    "spark": "onnxferry.scripts.score.clusters.spark_run:run",
    "ray": "onnxferry.scripts.score.clusters.ray_run:run",
}
# module -> what brings it
_EXTRAS = {"pyarrow": "score", "PIL": "image", "pyspark": "spark", "ray": "ray"}
_SET = "A parameter of a request, like top_k=2. May be repeated."
_COLUMN = "The model's column and the input's of another name, like text=body. May be repeated."
_PREFIX = "Of the new columns, where the input has columns of their names."
_OVERWRITE = (
    "Replace an OUTPUT that exists: a file once the new one is whole, a cluster's folder at once."
)
_PROCESSES = "How many score, each on one CPU; 1: one on all."
_MASTER = "Of Spark, like local[*], spark://HOST:7077 or yarn, or Ray's address."
_CONF = "A setting of Spark, like spark.executor.memory=4g. May be repeated."
_CHUNK = "Files that a cluster scores as one step of progress, in MB; default: 32 for each core."
_HEADER = "The columns' names, like text,id, of a CSV file without a line that names them."


@options.command()
@argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@argument("output_path", metavar="OUTPUT")
@options.model
@option("--set", "settings", multiple=True, metavar="NAME=VALUE", help=_SET)
@option("--column", "pairs", multiple=True, metavar="MODEL=INPUT", help=_COLUMN)
@option("--prefix", default="", show_default=False, help=_PREFIX)
@option("--overwrite", is_flag=True, help=_OVERWRITE)
@option("--encoding", default="utf-8", help="Of CSV and JSON Lines.")
@option("--delimiter", default="", show_default=False, help="Of CSV, other than a comma.")
@option("--header", default="", show_default=False, help=_HEADER)
@option("--engine", default="local", type=click.Choice([*ENGINES]), help="What scores.")
@option("--processes", default=1, type=COUNT, help=_PROCESSES)
@option("--master", default="", show_default=False, help=_MASTER)
@option("--conf", "conf", multiple=True, metavar="NAME=VALUE", help=_CONF)
@option("--chunk-mb", default=0.0, type=click.FloatRange(0), show_default=False, help=_CHUNK)
@options.output
def command(output: str, engine: str, **flags: Any) -> None:
    """Score every row of INPUT into OUTPUT.

    OUTPUT gets the input's columns, those of the answers, and `error`. INPUT is Parquet, CSV or
    JSON Lines (also .gz), several of them, or a folder of them or of pictures; OUTPUT one file,
    .parquet, .csv or .jsonl, of Spark a folder. Killed and run again it goes on where it was."""
    _check_flags(engine, flags)
    try:
        job = _job(**flags)
        outcome = _run(engine, job)
    except ModuleNotFoundError as e:
        extra = _EXTRAS.get(str(e.name).partition(".")[0])
        if extra is None:
            raise
        needed = f"pip install 'onnxferry[{extra}]'"
        raise UsageError(f"score needs {e.name}, which is not installed: {needed}") from e
    if output == "json":
        click.echo(json.dumps({**asdict(outcome), "answered": outcome.answered}, indent=2))
    else:
        console.out.print(outcome.text(), markup=False)
    if outcome.rows_out and not outcome.answered:
        why = f"its column '{job.mapping.prefix}error' tells why"
        raise BatchScoringError(f"{outcome.output}: no row has an answer; {why}")


def _check_flags(engine: str, flags: Mapping[str, Any]) -> None:
    """Raises UsageError for what the engine would pass over."""
    own = {"master": "spark ray", "conf": "spark", "chunk_mb": "spark ray"}
    for name, engines in own.items():
        if flags[name] and engine not in engines.split():
            known = " or ".join(engines.split())
            raise UsageError(f"--{name.replace('_', '-')} is of --engine {known}, not {engine}")
    if len(flags["delimiter"]) > 1:
        raise UsageError("--delimiter: expected one character; in bash a tab is $'\\t'")
    if engine != "local" and flags["processes"] > 1:
        raise UsageError(f"--processes is of --engine local; {engine} takes what the cluster has")


def _job(
    model: Path | None, settings: tuple[str, ...], pairs: tuple[str, ...], **flags: Any
) -> Any:
    from onnxferry.scoring import ModelSpec, ScoringError
    from onnxferry.scoring.rows import columns
    from onnxferry.scripts.score import job

    folder = model or options.only_model()
    try:
        spec = ModelSpec.read(folder)
        given = job.parameters(spec, settings)
        known = columns(spec, given)
    except ScoringError as e:
        raise UsageError(f"--model: {e}") from e
    header = tuple(name for name in flags.pop("header").split(",") if name)
    text = job.TextFormat(flags.pop("encoding"), flags.pop("delimiter"), header)
    inputs, output = flags.pop("inputs"), flags.pop("output_path")
    mapping = job.mapping(known, pairs, flags.pop("prefix"))
    flags["conf"] = job.settings(flags["conf"])
    return job.ScoreJob(inputs, output, folder, given, mapping, text, **flags)


def _run(engine: str, job: ScoreJob) -> Outcome:
    run: Callable[[ScoreJob], Outcome] = pkgutil.resolve_name(ENGINES[engine])
    return run(job)


if __name__ == "__main__":
    command()
