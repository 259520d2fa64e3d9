"""Score five rows by MLflow's spark_udf, and print them: python -m tests.targets.spark_udf PACKAGE,
in an environment with any MLflow and Spark."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import mlflow.pyfunc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import struct

TOP = (
    "answer string, score double,"
    " answers array<struct<answer:string,score:double,start:long,end:long>>"
)
KEPT = "answer string, score double, start double, error string"


def main(package: str) -> dict[str, Any]:
    """The rows by columns, by a struct of them, with a param, and with a bad row."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    local = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = local.getOrCreate()
    try:
        return _scored(spark, package)
    finally:
        spark.stop()


def _scored(spark: Any, package: str) -> dict[str, Any]:
    columns = "question string, text string"
    good = [("who sings", "dolly parton sings"), ("where", "dolly was born in 1946")] * 2
    frame = spark.createDataFrame(good, columns).repartition(2)
    bad = spark.createDataFrame([*good[:1], ("where", None)], columns).coalesce(1)

    def udf(**more: Any) -> Any:
        return mlflow.pyfunc.spark_udf(spark, package, env_manager="local", **more)

    def rows(frame: DataFrame, scored: Any) -> list[Any]:
        found = frame.withColumn("scored", scored).select("question", "scored.*").collect()
        return sorted(
            (row.asDict(recursive=True) for row in found), key=lambda row: row["question"]
        )

    return {
        "columns": rows(frame, udf()("question", "text")),
        "struct": rows(frame, udf()(struct("question", "text"))),
        "params": rows(frame, udf(params={"top_k": 2}, result_type=TOP)("question", "text")),
        "errors": rows(bad, udf(params={"errors": "column"}, result_type=KEPT)("question", "text")),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
