"""The Spark session that `onnxferry score` scores in: the one that runs, as under spark-submit with
a program of one's own, or one that it opens and stops."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onnxferry.scripts.score.clusters.spark_failures import reason
from onnxferry.scripts.score.job import ScoreJob
from onnxferry.system.console import Progress, stage
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

_SECONDS = 2.0  # between two looks at the tasks
_SETTINGS = {
    "spark.app.name": "onnxferry score",
    # a task that is killed while it commits leaves nothing
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "1",
    "spark.ui.showConsoleProgress": "false",
}
_OF_QUERIES = {  # that a session which runs takes too
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1024",
    "spark.sql.legacy.javaCharsets": "true",  # texts in more encodings than Unicode's
}


@contextmanager
def opened(job: ScoreJob) -> Iterator[SparkSession]:
    """A session on `job.master`, or as spark-submit or Spark's own settings say. Raises UsageError
    where there is no Spark, no Java, or no cluster."""
    from pyspark.sql import SparkSession

    if running := SparkSession.getActiveSession():
        yield _set(running)
        return
    if job.master.startswith("sc://"):
        advice = "in a session of Spark Connect call score_dataframe (docs/spark.md)"
        raise UsageError(f"--master {job.master}: the command needs a cluster of its own; {advice}")
    if job.master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with stage(f"start Spark ({job.master or 'as its settings say'})"):
        session = _session(job.master, {**_SETTINGS, **job.conf})
    try:
        yield _set(session)
    finally:
        session.stop()


def _set(session: SparkSession) -> SparkSession:
    for name, value in _OF_QUERIES.items():
        session.conf.set(name, value)
    return session


def _session(master: str, settings: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session: SparkSession = (builder.master(master) if master else builder).getOrCreate()
    except Exception as e:
        where = f"on {master}" if master else "without --master"
        needed = "it needs a master that answers, and Java (Spark 4: 17 or newer)"
        raise UsageError(f"Spark did not start {where}: {reason(e)}; {needed}") from e
    # what fails is told by what comes of it, without Java's stacks
    session.sparkContext.setLogLevel(settings.get("spark.log.level", "FATAL"))
    return session


@contextmanager
def watched(context: SparkContext, progress: Progress) -> Iterator[None]:
    """Tell now and then how far the tasks are that the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            tracker = context.statusTracker()
            stages = [tracker.getStageInfo(one) for one in tracker.getActiveStageIds()]
            told = [f"{s.numCompletedTasks} of {s.numTasks} tasks" for s in stages if s]
            progress(", ".join(told) or "waiting for the cluster")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
