"""The rows of all files of an input as one stream of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from onnxferry.scoring.rows import Columns
from onnxferry.scripts.score import formats
from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.scripts.score.formats.reading import BATCH_BYTES, BATCH_ROWS, Rows, Survey
from onnxferry.scripts.score.inputs import Input
from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

LARGE_ROWS = 64  # of pictures, questions and what else is more than a text


def surveyed(found: Input, text: TextFormat, known: Columns, mapping: ColumnMapping) -> Survey:
    """The survey of all files, with the columns that their folders' names are. Files that hold
    nothing at all have the columns that the model reads."""
    survey = formats.READERS[found.format].survey(found.files, text)
    schema = survey.schema
    if not schema.names:
        read = [mapping.sources.get(c.name, c.name) for c in known.inputs if c.required]
        schema = pa.schema([(name, pa.null()) for name in read])
    for name in dict.fromkeys(name for file in found.files for name in file.constants):
        if name in schema.names:
            where = f"the files have a column '{name}', and so has a folder's name"
            raise UsageError(f"{where}; rename one of them")
        schema = schema.append(pa.field(name, pa.string()))
    return replace(survey, schema=schema)


def batches(found: Input, survey: Survey, text: TextFormat, skip: int, most: int) -> Iterator[Rows]:
    """All rows behind the first `skip`, at most `most` in a batch; of small files several
    together."""
    held: list[Rows] = []
    for rows in _behind(found, survey, text, skip, most):
        count = sum(one.batch.num_rows for one in (*held, rows))
        size = sum(one.batch.nbytes for one in (*held, rows))
        if held and (count > most or size > BATCH_BYTES):
            yield _together(held)
            held = []
        held.append(rows)
    if held:
        yield _together(held)


def _behind(found: Input, survey: Survey, text: TextFormat, skip: int, most: int) -> Iterator[Rows]:
    read = formats.READERS[found.format].read
    for file, count in zip(found.files, survey.rows, strict=True):
        if count <= skip:
            skip -= count
            continue
        for rows in read(file, survey.schema, text):
            whole = _with_constants(rows, file.constants)
            first, skip = min(skip, whole.batch.num_rows), max(0, skip - whole.batch.num_rows)
            for start in range(first, whole.batch.num_rows, most):
                yield _slice(whole, start, most)


def _with_constants(rows: Rows, constants: Mapping[str, str | None]) -> Rows:
    batch = rows.batch
    arrays = [
        pa.array([constants[name]] * batch.num_rows, pa.string())
        if name in constants
        else batch.column(name)
        for name in batch.schema.names
    ]
    return replace(rows, batch=pa.RecordBatch.from_arrays(arrays, schema=batch.schema))


def _slice(rows: Rows, start: int, length: int) -> Rows:
    broken = {i - start: why for i, why in rows.broken.items() if start <= i < start + length}
    return Rows(rows.batch.slice(start, length), broken)


def _together(held: Sequence[Rows]) -> Rows:
    if len(held) == 1:
        return held[0]
    broken: dict[int, str] = {}
    first = 0
    for rows in held:
        broken |= {first + i: why for i, why in rows.broken.items()}
        first += rows.batch.num_rows
    table = pa.Table.from_batches([rows.batch for rows in held]).combine_chunks()
    return Rows(table.to_batches()[0], broken)


def most_rows(known: Columns) -> int:
    """That are scored together. Larger ones gain nothing by being many, and a kill costs them."""
    required = [column.name for column in known.inputs if column.required]
    return BATCH_ROWS if required == ["text"] else min(LARGE_ROWS, BATCH_ROWS)
