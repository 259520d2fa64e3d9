"""`onnxferry score --engine spark`: files of rows are scored by a cluster, some files at a time.

Each such chunk is a Spark job that writes into a folder of its own. When that is done and counted,
a record of its files is written, and then its answers are moved into the output. After a kill at
any moment the next run does what has no record, and nothing twice.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxferry.scoring.rows import ERROR
from onnxferry.scripts.score import formats
from onnxferry.scripts.score.clusters.chunked_output import (
    Chunk,
    Output,
    check_apart,
    identity,
    outcome,
)
from onnxferry.scripts.score.clusters.spark_failures import failure
from onnxferry.scripts.score.clusters.spark_session import opened, watched
from onnxferry.scripts.score.clusters.spark_tables import Table, input_table, output_table, tabbed
from onnxferry.scripts.score.clusters.stored_files import Storage, StoredFile, groups
from onnxferry.scripts.score.job import Outcome, ScoreJob
from onnxferry.scripts.score.spark import Prepared, prepared
from onnxferry.system.console import stage
from onnxferry.system.errors import BatchScoringError, FerryError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CHUNK = 32_000_000  # bytes of input for each core: half an hour of texts, at most, to do again
_MOST, _LEAST = 20_000, 256  # rows of a task: losing it costs little, and starting it less


@dataclass(frozen=True)
class _Run:
    """The cluster, how rows are read, answered and written there, and where to."""

    session: SparkSession
    job: ScoreJob
    read: Table
    prepared: Prepared
    written: Table
    output: Output


def run(job: ScoreJob) -> Outcome:
    """Score on the cluster of `job.master` what is not scored yet. Raises UsageError as
    score_dataframe does, for a cluster that cannot be reached, input that cannot be read, and an
    output that is of another run; BatchScoringError where the cluster fails."""
    with warnings.catch_warnings(), opened(job) as session:
        # mapInArrow gives pandas nothing to do
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        try:
            return score_files(session, job)
        except FerryError:
            raise
        except Exception as e:  # of the JVM or a worker: Spark has many classes for these
            raise failure(e) from e


def score_files(session: SparkSession, job: ScoreJob) -> Outcome:
    """As `run`, in a session that is there."""
    began = time.monotonic()
    storage = Storage(session.sparkContext)
    with stage("look at the input"):
        check_apart(map(storage.full, job.inputs), storage.full(job.output))
        files = _files(storage, job)
        read = input_table(session, job, [file.path for file in files])
    with stage("send the model to Spark's workers, and open it there"):
        ready = prepared(session, job.model, job.parameters, read.mapping(job.mapping))
        ready.schema(read.empty(session))
        ready = replace(ready, work=replace(ready.work, lines=read.lines))
    output = Output(storage, job.output)
    written = output_table(job)
    kinds = [read.name, read.told(), written.name]
    this = identity(job, files, ready.version, ready.work.mapping, kinds)
    resumed = output.open(this, replace=job.overwrite)
    _score(_Run(session, job, read, ready, written, output), files)
    return outcome(output, resumed, job, time.monotonic() - began)


def _files(storage: Storage, job: ScoreJob) -> list[StoredFile]:
    """All that the inputs name, but what is of no known format. Raises UsageError for none, and for
    several formats."""
    found = {file for name in job.inputs for file in storage.files(name)}
    known = sorted(file for file in found if formats.of(file.path))
    named = {formats.of(file.path) for file in known}
    if packed := [file.path for file in known if file.path.lower().endswith(".xz")]:
        raise UsageError(f"{packed[0]}: Spark does not unpack .xz; pack it as .gz or .bz2")
    _check_tabs(job, known)
    if len(named) == 1:
        return known
    came = f"files of {' and '.join(sorted(named))}" if named else "no file of a known format"
    wanted = "give Parquet, CSV, JSON Lines or pictures, of one format, as Spark reaches them"
    raise UsageError(f"{', '.join(job.inputs)[:200]}: Spark finds {came}; {wanted}")


def _check_tabs(job: ScoreJob, files: Sequence[StoredFile]) -> None:
    """Raises UsageError for files of CSV that are not alike: Spark reads all by one rule."""
    found = {tabbed(job.text, f.path): f.path for f in files if formats.of(f.path) == "CSV"}
    if len(found) > 1:
        both = f"{found[False]} has commas and quotes, and {found[True]} tabs and no quotes"
        raise UsageError(f"{both}; score them apart")


def _score(run: _Run, files: Sequence[StoredFile]) -> None:
    """Chunk by chunk."""
    done = {path for chunk in run.output.chunks() for path in chunk.files}
    left = [file for file in files if file.path not in done]
    total, so_far = sum(file.size for file in files), sum(f.size for f in files if f.path in done)
    cores = run.session.sparkContext.defaultParallelism
    for chunk in groups(left, int(run.job.chunk_mb * 1e6) or CHUNK * cores):
        so_far += sum(file.size for file in chunk)
        share = f"{100 * so_far / max(total, 1):.0f} % of {total / 1e6:,.1f} MB"
        with (
            stage(f"score {len(chunk)} file(s), up to {share}") as progress,
            watched(run.session.sparkContext, progress),
        ):
            _score_chunk(run, [file.path for file in chunk], cores)
    run.output.complete()


def _score_chunk(run: _Run, files: Sequence[str], cores: int) -> None:
    """Raises BatchScoringError where fewer rows are written than read, or more."""
    staged = run.output.stage()
    try:
        given = run.read.rows(run.session, files)
        rows = given.count()
        scored = run.prepared.score(_spread(given, rows, cores))
        schema = run.written.write(scored, staged)
        refused = _refused(run, replace(run.written, schema=schema).rows(run.session, [staged]))
    except BaseException:
        with suppress(Exception):  # a JVM that has gone removes nothing; the next run does
            run.output.discard(staged)
        raise
    if rows != refused.total():
        run.output.discard(staged)
        counts = f"{rows} rows were read and {refused.total()} written"
        raise BatchScoringError(f"{counts}: the input changes meanwhile; run again when it rests")
    del refused[""]
    run.output.keep(Chunk(tuple(files), staged, rows, dict(refused)))


def _spread(given: DataFrame, rows: int, cores: int) -> DataFrame:
    """Over so many tasks that each core has some and none takes long: Spark makes one of 128 MB,
    which are a day's work for a model."""
    tasks = max(math.ceil(rows / _MOST), min(3 * cores, math.ceil(rows / _LEAST)))
    return given.repartition(tasks) if tasks > given.rdd.getNumPartitions() else given


def _refused(run: _Run, scored: DataFrame) -> Counter[str]:
    """Rows by the code of their error, "" for none, as they are in the files."""
    error = f"`{run.job.mapping.prefix}{ERROR}`"
    codes = scored.selectExpr(f"coalesce(substring_index({error}, ':', 1), '') AS code")
    return Counter({row["code"]: row["count"] for row in codes.groupBy("code").count().collect()})
