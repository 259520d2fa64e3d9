"""An MLflow model in this process: load_model(), and predict() for a DataFrame of all rows."""

from __future__ import annotations

from typing import Any

import mlflow
import pandas

from onnxferry.scripts.benchmark.engines import Answer
from onnxferry.scripts.benchmark.engines.row_files import PARAMETERS, ROW, RowFiles


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    options.pop("workers", None)  # threads, by the environment
    model, files = mlflow.pyfunc.load_model(folder), RowFiles(task, options.pop("copies", 1))
    known = {param.name for param in model.metadata.get_params_schema() or ()}
    given = {k: v for k, v in PARAMETERS.get(task, {}).items() if k in known}

    def answer(items: list[Any]) -> list[Any]:
        rows = pandas.read_parquet(files.written(items))
        found = model.predict(rows.drop(columns=ROW), params=given or None)
        told = found.to_dict("records") if isinstance(found, pandas.DataFrame) else list(found)
        return files.answers(rows[ROW].tolist(), told)

    return answer
