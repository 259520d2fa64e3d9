"""onnxferry, as `onnxferry score` scores on one machine: Arrow batches of Parquet files."""

from __future__ import annotations

from typing import Any

from pyarrow import dataset

from onnxferry import scoring
from onnxferry.scoring.rows import RowScorer
from onnxferry.scripts.benchmark.engines import Answer
from onnxferry.scripts.benchmark.engines.row_files import PARAMETERS, ROW, RowFiles
from onnxferry.scripts.score.arrow_batches import score_batch

BATCH = 1024  # rows


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    options.pop("workers", None)  # threads, by the environment
    scorer, files = (
        RowScorer(scoring.load(folder), PARAMETERS.get(task)),
        RowFiles(task, options.pop("copies", 1)),
    )

    def answer(items: list[Any]) -> list[Any]:
        table = dataset.dataset(files.written(items), format="parquet").to_table()
        batches = table.combine_chunks().to_batches(BATCH)
        scored = [row for batch in batches for row in score_batch(scorer, batch).to_pylist()]
        return files.answers([row[ROW] for row in scored], scored)

    return answer
