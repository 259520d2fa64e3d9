"""Score the rows of a table, whatever holds it.

scored = RowScorer(load("model_dir")).score({"text": ["good day", "bad day"]})
scored["label"]  # ["good", "bad"]
"""

from __future__ import annotations

from onnxferry.scoring.rows.columns import SCALARS, Column, Columns, Kind
from onnxferry.scoring.rows.row_scorer import ERROR, RowScorer
from onnxferry.scoring.rows.task_columns import columns

__all__ = ["ERROR", "SCALARS", "Column", "Columns", "Kind", "RowScorer", "columns"]
