"""What runs in Spark's Python workers, shipped to them with the scoring core: batches of rows get
their answers from one model a process, opened in that process. It imports what a worker has:
pyarrow and the scoring core.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from onnxferry.scoring import Scorer, load
from onnxferry.scoring.engine_options import PREFIX
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.rows import RowScorer
from onnxferry.scripts.score.arrow_batches import ColumnMapping, score_batch
from onnxferry.scripts.score.clusters.spark_lines import Lines

_THREADS = f"{PREFIX}THREADS"
_scorers: dict[Path, Scorer] = {}  # of this process: Spark keeps it for the tasks that follow


@dataclass(frozen=True)
class Work:
    """What is done with each row. `model` is the folder's name where it came as an archive of the
    session's, else its path on every machine; `rows` are scored and held at once. `lines`: what the
    rows were, where broken ones are among them."""

    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    rows: int = 1024
    lines: Lines | None = None

    def batches(self, given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Each batch in parts, with the answers to its rows. Raises ModelError for a model that
        cannot be opened here, ScoringError for wrong columns or parameters."""
        for batch in given:
            rows = RowScorer(scorer(self.model), self.parameters)
            for first in range(0, batch.num_rows, self.rows):
                part = batch.slice(first, self.rows)
                broken = self.lines.broken(part) if self.lines else {}
                yield score_batch(rows, part, self.mapping, broken)


def scorer(model: str) -> Scorer:
    """The model of this process, opened at its first use here: a session that was opened before a
    fork hangs after it. It has as many threads as Spark gives a task CPUs, mostly one."""
    folder = _folder(model)
    if folder not in _scorers:
        _scorers[folder] = load(folder, {_THREADS: str(_cpus()), **os.environ})
    return _scorers[folder]


def try_model(model: str, parameters: Mapping[str, Any]) -> None:
    """Open the model and have it refuse a row of nulls. Raises ScoringError where it cannot be
    opened here, or where parameters are wrong."""
    rows = RowScorer(scorer(model), parameters)
    rows.score({column.name: [None] for column in rows.columns.inputs}, keep_errors=True)


def _folder(model: str) -> Path:
    from pyspark import SparkFiles

    places = [Path(SparkFiles.get(model)), Path(model)]
    for place in places:
        if (place / "model_spec.json").is_file():
            return place
    raise ModelError(f"this worker has no model at {' nor at '.join(map(str, places))}")


def _cpus() -> int:
    from pyspark import TaskContext

    task = TaskContext.get()
    return task.cpus() if task else 1
