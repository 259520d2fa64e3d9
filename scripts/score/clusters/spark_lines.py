"""Lines of text that Spark could not read as rows: what is wrong with each, as the readers of this
machine say it, and nothing of the line itself. It runs in Spark's Python workers."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pyarrow as pa

BROKEN = "_onnxferry_broken"  # the column in which Spark keeps such a line, null for others
_LARGEST_CELL = (1 << 31) - 1


@dataclass(frozen=True)
class Lines:
    """How lines hold rows. `cells`: of a line of CSV, 0 for JSON Lines."""

    cells: int = 0
    delimiter: str = ","
    quotes: bool = True

    def broken(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Row -> "code: message", of the rows whose line is no row."""
        kept = enumerate(batch.column(BROKEN).to_pylist())
        faults = {i: self.fault(line) for i, line in kept if line is not None}
        return {i: f"invalid_body: the line {fault}" for i, fault in faults.items() if fault}

    def fault(self, line: str) -> str:
        """What is wrong with a line that Spark refused; "" where only commas are too many."""
        return self._csv(line) if self.cells else _json(line)

    def _csv(self, line: str) -> str:
        before = csv.field_size_limit(_LARGEST_CELL)
        how: dict[str, Any] = {"strict": True} if self.quotes else {"quoting": csv.QUOTE_NONE}
        try:
            rows = csv.reader(StringIO(line, newline=""), delimiter=self.delimiter, **how)
            row = next(rows, list[str]())
        except csv.Error as e:
            return f"is not readable as CSV: {e}"
        finally:
            csv.field_size_limit(before)
        if len(row) > self.cells and not any(row[self.cells :]):
            return ""
        return f"has {len(row)} cells, and the table {self.cells} columns"


def _json(line: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as e:
        return f"is not JSON: {e.msg}"
    except (ValueError, RecursionError):
        return "is not JSON: it cannot be read"
    return "is JSON that Spark cannot read" if isinstance(row, dict) else "is not a JSON object"
