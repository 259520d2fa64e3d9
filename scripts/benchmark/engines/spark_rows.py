"""The rows as a Spark DataFrame, in a session on this machine, for the engines that Spark runs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from onnxferry.scripts.benchmark.engines import Answer
from onnxferry.scripts.benchmark.engines.row_files import ROW, RowFiles

ANSWER = "answer_of_row"


def session(workers: int) -> SparkSession:
    """One with so many Python workers, each with a task at a time."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": tempfile.gettempdir(),
        "spark.driver.extraJavaOptions": "-XX:-UsePerfData",
    }
    builder = SparkSession.builder.master(f"local[{workers}]").appName("onnxferry benchmark")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def over(running: SparkSession, files: RowFiles, score: Callable[[DataFrame], DataFrame]) -> Answer:
    """`score` adds the column ANSWER, a text or a struct, to the rows of `files`."""

    def answer(items: list[Any]) -> list[Any]:
        scored = score(running.read.parquet(files.written(items))).select(ROW, ANSWER).collect()
        found = [row[ANSWER] for row in scored]
        told = [one.asDict() if hasattr(one, "asDict") else one for one in found]
        return files.answers([row[ROW] for row in scored], told)

    return answer
