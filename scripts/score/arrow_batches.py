"""Batches of an Arrow table with the model's answers beside their rows: what every engine of
`onnxferry score` does with a part of the input. It imports only what a worker on another machine
has: pyarrow and the scoring core.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from onnxferry.scoring.errors import InvalidType, InvalidValue, MissingField
from onnxferry.scoring.rows import ERROR, Column, Columns, Kind, RowScorer

_TYPES = {
    "string": pa.string(),
    "double": pa.float64(),
    "float": pa.float32(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
}
_TEXT = ("string", "large_string", "string_view")
_BINARY = ("binary", "large_binary", "binary_view")
JSON_TEXT = {b"onnxferry": b"json"}  # of a field whose texts are values in JSON
# holds the schema that a Spark job wrote: by it Spark would not see the columns that are added
_SPARK = b"org.apache.spark."


@dataclass(frozen=True)
class ColumnMapping:
    """How the columns of the model and of a table correspond. `sources`: the task's column -> the
    table's, where their names differ. `prefix`: of the columns that are added. `dropped`: those of
    the table that the output does without."""

    sources: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    dropped: tuple[str, ...] = ()


def arrow_type(kind: Kind) -> pa.DataType:
    """The Arrow type of a column's kind."""
    if isinstance(kind, dict):
        return pa.struct([(name, arrow_type(of)) for name, of in kind.items()])
    return pa.list_(arrow_type(kind[0])) if isinstance(kind, list) else _TYPES[kind]


def output_schema(
    columns: Columns, table: pa.Schema, mapping: ColumnMapping | None = None
) -> pa.Schema:
    """The columns of `table`, then the answers', then ERROR. Raises MissingField for a column that
    the task needs and that is not there, InvalidType for one that cannot hold it, InvalidValue
    where a name is there twice, or is one that the answers would be written to."""
    mapping = mapping or ColumnMapping()
    _check_unique(table.names)
    for column, source in _sources(columns, table.names, mapping):
        _check_type(column, source, table.field(source).type)
    kept = [column for column in table if column.name not in mapping.dropped]
    kinds: dict[str, Kind] = {**columns.outputs, ERROR: "string"}
    added = [pa.field(mapping.prefix + name, arrow_type(kind)) for name, kind in kinds.items()]
    _check_free([column.name for column in kept], [column.name for column in added])
    told = {k: v for k, v in (table.metadata or {}).items() if not k.startswith(_SPARK)}
    return pa.schema([*kept, *added], metadata=told or None)


def score_batch(
    rows: RowScorer,
    batch: pa.RecordBatch,
    mapping: ColumnMapping | None = None,
    broken: Mapping[int, str] | None = None,
) -> pa.RecordBatch:
    """`batch` with the answers to its rows, of `output_schema`; a row that is refused has nulls and
    its ERROR, and so has one of `broken`: row -> ERROR, of rows that could not be read. Raises
    ScoringError as `output_schema`, and for wrong parameters."""
    mapping = mapping or ColumnMapping()
    schema = output_schema(rows.columns, batch.schema, mapping)
    read = _sources(rows.columns, batch.schema.names, mapping)
    cells = {column.name: _cells(batch, source, column.kind) for column, source in read}
    scored = _without(rows.score(cells, keep_errors=True), broken or {})
    kept = [batch.column(n) for n in batch.schema.names if n not in mapping.dropped]
    added = schema.types[len(kept) :]
    arrays = [_array(scored[name], of) for name, of in zip(scored, added, strict=True)]
    return pa.RecordBatch.from_arrays([*kept, *arrays], schema=schema)


def _without(scored: Mapping[str, Sequence[Any]], broken: Mapping[int, str]) -> Any:
    """`scored` without answers to the rows of `broken`."""
    if not broken:
        return scored
    told = {name: broken if name == ERROR else dict.fromkeys(broken) for name in scored}
    return {
        name: [told[name].get(i) if i in broken else cell for i, cell in enumerate(column)]
        for name, column in scored.items()
    }


def _sources(
    columns: Columns, names: Sequence[str], mapping: ColumnMapping
) -> list[tuple[Column, str]]:
    """Each column of the task that the table has, with its name there."""
    known = [column.name for column in columns.inputs]
    if unknown := [name for name in mapping.sources if name not in known]:
        raise InvalidValue(f"the task reads no column '{unknown[0]}'; it reads {', '.join(known)}")
    found = [(column, _source(column, names, mapping)) for column in columns.inputs]
    return [(column, source) for column, source in found if source is not None]


def _source(column: Column, names: Sequence[str], mapping: ColumnMapping) -> str | None:
    if mapped := mapping.sources.get(column.name):
        looked_for: tuple[str, ...] = (mapped,)
    else:
        looked_for = (column.name, *column.aliases)
    found = [name for name in looked_for if name in names]
    if not found and (mapped or column.required):
        came = ", ".join(f"'{name[:40]}'" for name in names[:20]) or "none"
        wanted = " or ".join(f"'{name}'" for name in looked_for)
        advice = "" if mapped else f"; name the column of '{column.name}' that it has"
        raise MissingField(f"there is no column {wanted}; the table has {came}{advice}")
    return found[0] if found else None


def _check_unique(names: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        shown = ", ".join(f"'{name[:40]}'" for name in twice[:10])
        raise InvalidValue(f"more than one column is named {shown}; give each its own name")


def _check_free(kept: Sequence[str], added: Sequence[str]) -> None:
    if taken := [name for name in added if name in kept]:
        shown = ", ".join(f"'{name[:40]}'" for name in taken)
        advice = "give the new columns a prefix, like 'predicted_'"
        raise InvalidValue(f"the table has column(s) {shown} itself, as the answers have; {advice}")


def _check_type(column: Column, source: str, found: pa.DataType) -> None:
    """Texts and pictures; what holds other kinds is told row by row."""
    value = found.value_type if pa.types.is_dictionary(found) else found
    text = str(value) in _TEXT
    picture = text or str(value) in _BINARY or _is_file(value)
    fits = {"string": text, "binary": picture}.get(str(column.kind), True)
    if not (fits or pa.types.is_null(value)):
        wanted = "text" if column.kind == "string" else "binary data, or text in base64"
        raise InvalidType(f"column '{source}' must hold {wanted}, and it holds {found}")


def _is_file(of: pa.DataType) -> bool:
    """Whether a column holds pictures as Hugging Face's data sets and Spark's do, beside their
    paths."""
    return bool(pa.types.is_struct(of) and of.get_field_index("bytes") >= 0)


def _cells(batch: pa.RecordBatch, name: str, kind: Kind) -> list[Any]:
    """The column as Python's values. Where neither text nor bytes are wanted, text is JSON, as
    tables in CSV have it."""
    array = batch.column(name)
    if kind == "binary" and _is_file(array.type):
        array = compute.struct_field(array, "bytes")
    cells: list[Any] = array.to_pylist()
    told = batch.schema.field(name).metadata or {}
    is_json = JSON_TEXT.items() <= told.items() or kind not in ("string", "binary")
    return list(map(_parsed, cells)) if is_json else cells


def _parsed(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell  # the task tells what it expected


def _array(cells: Sequence[Any], of: pa.DataType) -> pa.Array:
    return pa.array(map(_nested, cells) if pa.types.is_nested(of) else cells, of)


def _nested(cell: Any) -> Any:
    """Arrow takes lists and arrays of one dimension."""
    return list(_rows(cell)) if isinstance(cell, np.ndarray) and cell.ndim > 1 else cell


def _rows(array: np.ndarray[Any, Any]) -> Iterator[Any]:
    return map(_nested, array)
