"""An MLflow model in mlflow.pyfunc.spark_udf, as MLflow's documentation gives one to Spark."""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.models import Model
from pyspark.sql import functions

from onnxferry.scripts.benchmark.engines import Answer, spark_rows
from onnxferry.scripts.benchmark.engines.row_files import PARAMETERS, ROW, RowFiles

KINDS = {"double": "double", "float": "double", "long": "long"}


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    running = spark_rows.session(options.pop("workers", 1))
    files = RowFiles(task, options.pop("copies", 1))
    signature = Model.load(folder).signature
    known = {param.name for param in signature.params or ()}
    given = {k: v for k, v in PARAMETERS.get(task, {}).items() if k in known}
    score = mlflow.pyfunc.spark_udf(
        running, folder, _result(signature), env_manager="local", params=given or None
    )

    def scored(rows: Any) -> Any:
        columns = [name for name in rows.columns if name != ROW]
        return rows.withColumn(spark_rows.ANSWER, score(functions.struct(*columns)))

    return spark_rows.over(running, files, scored)


def _result(signature: Any) -> str:
    """Spark's type of the answers: the one text, or a struct of what is not nested."""
    names = [c.name for c in signature.outputs if hasattr(c.type, "name")]
    kinds = [c.type.name for c in signature.outputs if hasattr(c.type, "name")]
    if len(names) < 2:
        return "string"
    fields = [f"{n} {KINDS.get(k, k)}" for n, k in zip(names, kinds, strict=True)]
    return f"struct<{', '.join(fields)}>"
