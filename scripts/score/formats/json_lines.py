"""JSON Lines. A column of lists or objects, or of values of several types, is kept as JSON text,
that no value changes; in JSON Lines it is written as what it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from onnxferry.scripts.score.arrow_batches import JSON_TEXT
from onnxferry.scripts.score.formats.json_text import dumped, is_json, plain
from onnxferry.scripts.score.formats.reading import File, Rows, Survey, chunks, conformed
from onnxferry.scripts.score.formats.text_file import text_of
from onnxferry.scripts.score.formats.writing import text_writer
from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

_TYPES = {"str": pa.string(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
_EXACT = 1 << 53  # the integers that are floats too
Row = tuple[dict[str, Any], str, int]  # the object, what is wrong with its line, its characters


def survey(files: Sequence[File], text: TextFormat) -> Survey:
    """By reading all of them once."""
    kinds: dict[str, set[str]] = {}
    counts = []
    for file in files:
        count = 0
        for row, _, _ in _rows(file, text):
            count += 1
            for name, value in row.items():
                kinds.setdefault(name, set()).update(_kinds(value))
        counts.append(count)
    return Survey(pa.schema([_field(name, found) for name, found in kinds.items()]), tuple(counts))


def _kinds(value: Any) -> set[str]:
    if value is None:
        return set()
    name = type(value).__name__
    if name == "int":
        return {"int"} if abs(value) <= _EXACT else {"int", "long"} if _fits(value) else {"other"}
    exact = name in _TYPES and (name != "float" or math.isfinite(value))
    return {name} if exact else {"other"}


def _fits(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 63


def _field(name: str, kinds: set[str]) -> pa.Field:
    if kinds == {"int", "float"}:
        kinds = {"float"}
    kinds = kinds - {"long"} if "float" not in kinds else kinds
    if not kinds:
        return pa.field(name, pa.null())
    if len(kinds) == 1 and (of := _TYPES.get(next(iter(kinds)))):
        return pa.field(name, of)
    return pa.field(name, pa.string(), metadata=JSON_TEXT)


def read(file: File, schema: pa.Schema, text: TextFormat) -> Iterator[Rows]:
    """The file's rows; lines that are no JSON objects are broken."""
    for held in chunks(_rows(file, text), lambda row: row[2]):
        objects = [row for row, _, _ in held]
        names = [column for column in schema if column.name not in file.constants]
        arrays = [_array(column, [row.get(column.name) for row in objects]) for column in names]
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(names))
        broken = {i: wrong for i, (_, wrong, _) in enumerate(held) if wrong}
        yield Rows(conformed(batch, schema), broken)


def _array(column: pa.Field, values: list[Any]) -> pa.Array:
    if is_json(column):
        values = [None if value is None else dumped(value) for value in values]
    return pa.array(values, column.type)


def _rows(file: File, text: TextFormat) -> Iterator[Row]:
    """Lines that are empty are none. Only LF ends a line."""
    with text_of(file.path, text, newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if stripped := line.strip(" \t\r\n"):
                if number == 1 and stripped.startswith("["):
                    wanted = "expected JSON Lines, an object a line; jq -c '.[]' makes that"
                    raise UsageError(f"{file.path}: holds a JSON array; {wanted}")
                yield *_parsed(stripped, number), len(line)


def _parsed(line: str, number: int) -> tuple[dict[str, Any], str]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            return {}, f"invalid_body: line {number} is not a JSON object"
        if "\\u" in line:
            dumped(row).encode()  # halves of a pair of surrogates are no text
    except UnicodeEncodeError:
        return {}, f"invalid_body: line {number} holds half of a character"
    except (ValueError, RecursionError) as e:
        why = e.msg if isinstance(e, json.JSONDecodeError) else "it cannot be read"
        return {}, f"invalid_body: line {number} is not JSON: {why}"
    return row, ""


def _text(batch: pa.RecordBatch) -> bytes:
    columns = [_values(column, batch.column(i)) for i, column in enumerate(batch.schema)]
    lines = (_line(batch.schema.names, row) for row in zip(*columns, strict=True))
    return "".join(lines).encode()


def _values(column: pa.Field, array: pa.Array) -> list[Any]:
    if is_json(column):
        return [cell and json.loads(cell) for cell in array.to_pylist()]
    if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type):
        array = array.cast(pa.string())  # with its nanoseconds
    return list(map(plain, array.to_pylist()))


def _line(names: Sequence[str], row: Sequence[Any]) -> str:
    found: Mapping[str, Any] = dict(zip(names, row, strict=True))
    return dumped(found) + "\n"


WRITER = text_writer(_text)
