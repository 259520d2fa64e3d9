"""Values as JSON text, in columns that hold what their format has no type for."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from onnxferry.scripts.score.arrow_batches import JSON_TEXT


def dumped(value: Any) -> str:
    """JSON in the characters that it has."""
    return json.dumps(value, ensure_ascii=False)


def is_json(column: pa.Field) -> bool:
    """Whether a column's texts are JSON."""
    return bool(JSON_TEXT.items() <= (column.metadata or {}).items())


def json_text(array: pa.Array) -> pa.Array:
    """The values as JSON; bytes as base64 alone."""
    values = map(plain, array.to_pylist())
    texts = [v if v is None or isinstance(v, str) else dumped(v) for v in values]
    return pa.array(texts, pa.string())


def without_json_strings(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch` for formats that do not know of JSON_TEXT: there a string among other values stands
    as it is."""
    arrays = [_unquoted(c, batch.column(i)) for i, c in enumerate(batch.schema)]
    return pa.RecordBatch.from_arrays(arrays, schema=unmarked(batch.schema))


def unmarked(schema: pa.Schema) -> pa.Schema:
    """The schema of `without_json_strings`."""
    columns = [column.remove_metadata() if is_json(column) else column for column in schema]
    return pa.schema(columns, metadata=schema.metadata)


def _unquoted(column: pa.Field, array: pa.Array) -> pa.Array:
    if not is_json(column):
        return array
    cells = array.to_pylist()
    texts = [json.loads(cell) if cell and cell.startswith('"') else cell for cell in cells]
    return pa.array(texts, array.type)


def plain(value: Any) -> Any:
    """An Arrow value as JSON data: bytes in base64, times in ISO 8601, decimals as text, that they
    keep their digits, and null for what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | timedelta) else value
