"""Items as a batch job has them: rows of Parquet files, which are read again for every request."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

FILES = 4  # each with every fourth row, so that two workers get as much to do
ROW = "row"  # the column that numbers them
PARAMETERS = {"text-classification": {"top_k": 1}}
NAMES = {"question-answering": "answer", "text-classification": "label"}


class RowFiles:
    """The files of the latest request, with its rows so many times, in the process's temporary
    folder."""

    def __init__(self, task: str, copies: int = 1) -> None:
        """Raises ValueError for a task whose answers are compared in no common form."""
        if task not in NAMES:
            raise ValueError(f"this engine is asked for {' and '.join(NAMES)} here, not for {task}")
        self._copies = copies
        self._name = NAMES[task]
        self._items: list[Any] = []
        self.folder = Path(tempfile.mkdtemp())

    def written(self, items: list[Any]) -> str:
        """The folder with the rows of `items`, written now unless they are there."""
        if items is not self._items:
            rows = [item if isinstance(item, dict) else {"text": item} for item in items]
            numbered = [{ROW: i, **row} for i, row in enumerate(rows * self._copies)]
            for i in range(FILES):
                table = pa.Table.from_pylist(numbered[i::FILES], pa.schema(_fields(rows[0])))
                parquet.write_table(table, self.folder / f"{i}.parquet")
            self._items = items
        return str(self.folder)

    def answers(self, rows: list[int], found: list[Any]) -> list[Any]:
        """The answers to the items in their order, as the pipeline shapes them, of the first copy.
        Raises ValueError where rows have no answer."""
        if sorted(rows) != list(range(self._copies * len(self._items))):
            raise ValueError(f"{self._copies} x {len(self._items)} rows got {len(rows)} answers")
        shaped = [one if isinstance(one, dict) else {self._name: one} for one in found]
        by_row = dict(zip(rows, shaped, strict=True))
        return [by_row[i] for i in range(len(self._items))]


def _fields(row: dict[str, Any]) -> list[Any]:
    return [(ROW, pa.int64()), *((name, pa.string()) for name in row)]
