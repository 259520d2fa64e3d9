"""onnxferry in Spark, as `onnxferry score --engine spark` and score_dataframe have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import functions

from onnxferry.scripts.benchmark.engines import Answer, spark_rows
from onnxferry.scripts.benchmark.engines.row_files import NAMES, PARAMETERS, RowFiles
from onnxferry.scripts.score.spark import prepared


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    running = spark_rows.session(options.pop("workers", 1))
    files = RowFiles(task, options.pop("copies", 1))
    ready = prepared(running, Path(folder), PARAMETERS.get(task, {}), None)

    def scored(rows: Any) -> Any:
        return ready.score(rows).withColumn(spark_rows.ANSWER, functions.col(NAMES[task]))

    return spark_rows.over(running, files, scored)
