"""Parquet, read a few rows at a time, however large its row groups are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from onnxferry.scripts.score.formats.json_text import unmarked, without_json_strings
from onnxferry.scripts.score.formats.reading import (
    BATCH_BYTES,
    BATCH_ROWS,
    File,
    Rows,
    Survey,
    conformed,
    unified,
)
from onnxferry.scripts.score.formats.writing import Write, Writer
from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

_GROUP_ROWS, _GROUP_BYTES = 1 << 17, 64 << 20  # of a row group that is written: whichever is first


def survey(files: Sequence[File], text: TextFormat) -> Survey:
    """By the files' footers."""
    opened = []
    for file in files:
        with _readable(file.path), _file(file.path) as source:
            opened.append((source.schema_arrow, source.metadata.num_rows))
    schema = unified(files, [schema for schema, _ in opened])
    return Survey(schema, tuple(rows for _, rows in opened))


def read(file: File, schema: pa.Schema, text: TextFormat) -> Iterator[Rows]:
    """The file's batches; their rows are fewer where rows are large."""
    with _readable(file.path), _file(file.path) as source:
        for batch in source.iter_batches(_batch_rows(source.metadata), use_threads=False):
            yield Rows(conformed(batch, schema))


def _file(path: Path) -> parquet.ParquetFile:
    """Without pre_buffer a row group is not read as a whole. Times in INT96, which Spark writes,
    are microseconds: as nanoseconds Spark could not read them again."""
    return parquet.ParquetFile(
        path, pre_buffer=False, buffer_size=1 << 20, coerce_int96_timestamp_unit="us"
    )


def _batch_rows(metadata: parquet.FileMetaData) -> int:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    largest = max((g.total_byte_size / max(g.num_rows, 1) for g in groups), default=0)
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES / max(largest, 1))))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as e:
        why = str(e).partition("\n")[0]
        raise UsageError(f"{path}: not readable as Parquet: {why}") from e


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[parquet.ParquetWriter]:
    # what a file of Python's raises is an OSError with its number, as of a full disk
    with path.open("wb") as file, parquet.ParquetWriter(file, unmarked(schema)) as writer:
        yield writer


@contextmanager
def _part(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with _writer(path, schema) as writer:
        yield lambda batch: writer.write_batch(without_json_strings(batch))


def _joined(path: Path, parts: Sequence[Path], schema: pa.Schema) -> None:
    """Row groups of the usual size, though the parts' are small."""
    with _writer(path, schema) as writer:
        for batches in _groups(parts):
            writer.write_table(pa.Table.from_batches(batches, unmarked(schema)))


def _groups(parts: Sequence[Path]) -> Iterator[list[pa.RecordBatch]]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _batches(parts):
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield held
            held, rows, size = [], 0, 0
    if held:
        yield held


def _batches(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in parts:
        with _file(path) as source:
            for group in range(source.num_row_groups):
                yield from source.iter_batches(row_groups=[group], use_threads=False)


def _check(schema: pa.Schema) -> None:
    parquet.write_table(schema.empty_table(), BytesIO())


WRITER = Writer(_part, _joined, _check)
