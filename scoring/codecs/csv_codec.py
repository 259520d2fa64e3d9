"""text/csv: a header, then one item a row (RFC 4180; a line may end in LF alone)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.errors import InternalError, InvalidBody, NotAcceptable

MAX_COLUMNS = 1000  # each cell becomes an entry of an object: many times the memory of its comma
ITEM_COLUMNS = ("inputs", "text", "sequences")  # that hold a whole item


def decode_csv(body: bytes, media_type: MediaType) -> Any:
    """{"inputs": [an item a row]}: the cell of a column `inputs`, as Hugging Face's containers have
    it, or of a lone `text` or `sequences`; else an object of the row's cells, all strings. Raises
    InvalidBody that names the line."""
    items = list(csv_items(body, media_type))
    if wrong := next((item for item in items if isinstance(item, InvalidBody)), None):
        raise wrong
    if not items:
        raise InvalidBody("the CSV has a header and no rows; expected one item a row")
    return {"inputs": items}


def csv_items(body: bytes, media_type: MediaType) -> Iterator[Any]:
    """`text_items` of a body."""
    return text_items(io.StringIO(media_type.text(body), newline=""))


def text_items(lines: Iterable[str]) -> Iterator[Any]:
    """The item of each row, as `decode_csv` has them, or the InvalidBody for a row that has not a
    cell for each column. `lines` are with their ends. Raises InvalidBody for what is no CSV with a
    header."""
    rows = _rows(lines)
    header = [name.strip() for _, row in [next(rows, (1, []))] for name in row]
    if not any(header):
        raise InvalidBody("the body has no header; expected CSV with names of columns at its top")
    if len(set(header)) < len(header) or "" in header:
        raise InvalidBody("the header of the CSV names a column twice, or not at all")
    if len(header) > MAX_COLUMNS:
        raise InvalidBody(f"the CSV has {len(header)} columns; at most {MAX_COLUMNS} are taken")
    column = _item_column(header)
    for line, row in rows:
        if (count := len(row)) != (expected := len(header)):
            what = f"line {line} of the CSV has {count} cell(s), the header {expected}"
            yield InvalidBody(what)
        else:
            yield dict(zip(header, row, strict=True)) if column is None else row[column]


def _item_column(header: Sequence[str]) -> int | None:
    names = ITEM_COLUMNS if len(header) == 1 else ITEM_COLUMNS[:1]
    return next((i for i, name in enumerate(header) if name in names), None)


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line."""
    reader = csv.reader(lines, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as e:
        most = f"; a cell holds at most {csv.field_size_limit()} characters, send longer as JSON"
        hint = most if "limit" in str(e) else ""
        raise InvalidBody(f"the body is not CSV: {e}{hint} at line {reader.line_num}") from e


def encode_csv(answer: Any) -> bytes:
    """UTF-8 CSV of an object, or a list of them, whose values are single; null is empty. Raises
    NotAcceptable for another answer, InternalError for NaN and infinity."""
    rows = answer if isinstance(answer, list) else [answer]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        what = "this answer is not one object an item, which CSV needs"
        raise NotAcceptable(f"{what}; accept application/json")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name), name) for name in columns] for row in rows)
    return out.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any, name: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not np.isfinite(value):
        raise InternalError("the model's answer holds NaN or infinity")
    if isinstance(value, Mapping | Sequence | np.ndarray) and not isinstance(value, str):
        what = f"'{name}' of this answer is no single value, which CSV needs"
        raise NotAcceptable(f"{what}; accept application/json")
    return value
