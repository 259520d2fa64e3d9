"""What readers give: first a survey of all files, that nothing that can be known before is found
after hours, then their rows, a batch at a time. A row that is broken is a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

# at most, of the rows that are held at once: 256 are within 1% of the speed of any more
BATCH_ROWS, BATCH_BYTES = 256, 32 << 20


@dataclass(frozen=True)
class File:
    """One file of the input. `name`: below the folder that was given. `constants`: the columns that
    the folders' names are, as Hive and Spark write them."""

    path: Path
    name: str
    constants: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """The columns of all files, and the rows of each."""

    schema: pa.Schema
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """A batch; `broken`: row -> "code: message", of rows that could not be read."""

    batch: pa.RecordBatch
    broken: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """`read` gives batches of the survey's schema, for the same file always the same. Both raise
    UsageError that names the file."""

    survey: Callable[[Sequence[File], TextFormat], Survey]
    read: Callable[[File, pa.Schema, TextFormat], Iterator[Rows]]
    dropped: tuple[str, ...] = ()  # columns that are not for the output


def unified(files: Sequence[File], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of all files, nulls where a file has none. Raises UsageError where one has two
    types."""
    whole = pa.schema([])
    for file, schema in zip(files, schemas, strict=True):
        whole = _merged(file, whole, schema)
    return whole.with_metadata(schemas[0].metadata if schemas else None)


def _merged(file: File, whole: pa.Schema, schema: pa.Schema) -> pa.Schema:
    try:
        return pa.unify_schemas([whole, schema])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        what = _difference(whole, schema) or str(e)
        raise UsageError(f"{file.path}: {what}; score the files of each type apart") from e


def _difference(whole: pa.Schema, other: pa.Schema) -> str:
    for column in other:
        place = whole.get_field_index(column.name)
        if place >= 0 and whole.field(place).type != column.type:
            kinds = f"{column.type}, and {whole.field(place).type} in a file before"
            return f"column '{column.name}' is of type {kinds}"
    return ""


def conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` with all columns of `schema`, in its order."""
    arrays = [_column(batch, column) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(batch: pa.RecordBatch, column: pa.Field) -> pa.Array:
    place = batch.schema.get_field_index(column.name)
    if place < 0:
        return pa.nulls(batch.num_rows, column.type)
    found = batch.column(place)
    return found if found.type == column.type else found.cast(column.type)


def chunks(rows: Iterator[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """`rows` in lists of at most BATCH_ROWS, and of BATCH_BYTES but for the last of them."""
    held: list[Any] = []
    held_bytes = 0
    for row in rows:
        held.append(row)
        held_bytes += size(row)
        if len(held) >= BATCH_ROWS or held_bytes >= BATCH_BYTES:
            yield held
            held, held_bytes = [], 0
    if held:
        yield held
