"""CSV. Every cell is text as it stands, so that no zero before a number is lost and no later row
fits another type; an empty cell is null. Python's reader tells the line of what is wrong, and has
no limit for a row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import zip_longest
from typing import Any

import pyarrow as pa
from pyarrow import compute, types
from pyarrow import csv as arrow_csv

from onnxferry.scripts.score.formats.json_text import json_text, without_json_strings
from onnxferry.scripts.score.formats.reading import File, Rows, Survey, chunks, conformed, unified
from onnxferry.scripts.score.formats.text_file import has_tabs, text_of
from onnxferry.scripts.score.formats.writing import text_writer
from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

_LARGEST_CELL = (1 << 31) - 1
Row = tuple[int, list[str]]  # with the number of its last line


def survey(files: Sequence[File], text: TextFormat) -> Survey:
    """By reading all of them once. An empty file has no columns."""
    schemas, counts = [], []
    for file in files:
        names, rows = _records(file, text)
        schemas.append(pa.schema([(name, pa.string()) for name in names]))
        counts.append(sum(1 for _ in rows))
    _check_unique(files, schemas)
    return Survey(unified(files, schemas), tuple(counts))


def _check_unique(files: Sequence[File], schemas: Sequence[pa.Schema]) -> None:
    for file, names in zip(files, (schema.names for schema in schemas), strict=True):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            advice = "give each its own name"
            raise UsageError(f"{file.path}: more than one column is named '{twice}'; {advice}")


def read(file: File, schema: pa.Schema, text: TextFormat) -> Iterator[Rows]:
    """The file's rows; those with more or fewer cells than columns are broken, but for commas at
    their end."""
    names, rows = _records(file, text)
    for held in chunks(rows, lambda row: sum(map(len, row[1]))):
        cells = [row[: len(names)] for _, row in held]
        columns = [*zip_longest(*cells, [None] * len(names))] if names else []
        arrays = [
            pa.array([cell or None for cell in column[: len(held)]], pa.string())
            for column in columns
        ]
        batch = pa.RecordBatch.from_arrays(arrays, names)
        broken = {
            i: f"invalid_body: line {line} has {len(row)} cells, and the table {len(names)} columns"
            for i, (line, row) in enumerate(held)
            if len(row) < len(names) or any(row[len(names) :])
        }
        yield Rows(conformed(batch, schema), broken)


def _records(file: File, text: TextFormat) -> tuple[list[str], Iterator[Row]]:
    """The columns' names, and the rows below. Lines that are empty are none."""
    rows = _rows(file, text)
    if text.header:
        return [*text.header], rows
    return next(rows, (0, list[str]()))[1], rows


def _rows(file: File, text: TextFormat) -> Iterator[Row]:
    """The limit of a cell is the process's: it is put back for whoever else reads CSV."""
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        yield from _read(file, text)
    finally:
        csv.field_size_limit(before)


def _read(file: File, text: TextFormat) -> Iterator[Row]:
    tabs = not text.delimiter and has_tabs(file.path.name)
    with text_of(file.path, text, newline="") as lines:
        # a .tsv file has no quotes: a text that begins with one would swallow what follows
        how: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
        reader = csv.reader(lines, delimiter="\t" if tabs else text.delimiter or ",", **how)
        try:
            yield from ((reader.line_num, row) for row in reader if row)
        except csv.Error as e:
            raise csv.Error(f"line {reader.line_num}: {e}") from e


def _text(batch: pa.RecordBatch) -> bytes:
    arrays = [_cells(array) for array in without_json_strings(batch).columns]
    return _csv(pa.RecordBatch.from_arrays(arrays, batch.schema.names), header=False)


def _head(schema: pa.Schema) -> bytes:
    return _csv(pa.schema([(name, pa.null()) for name in schema.names]).empty_table(), header=True)


def _csv(table: pa.RecordBatch | pa.Table, *, header: bool) -> bytes:
    sink = BytesIO()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=header))
    return sink.getvalue()


def _cells(array: pa.Array) -> pa.Array:
    """What CSV can hold: numbers, times and texts as they are, the rest as JSON."""
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    of = array.type
    if any(test(of) for test in (types.is_integer, types.is_floating, types.is_boolean)):
        return array
    if types.is_nested(of) or types.is_interval(of) or "binary" in str(of):
        return json_text(array)
    return compute.cast(array, pa.string())


WRITER = text_writer(_text, _head)
