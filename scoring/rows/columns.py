"""A task's items and answers as the columns of a table, for those who score tables: MLflow,
`onnxferry score`, Spark.

A row is an item of `inputs`. Its cells have the names of the item's fields, a lone text or picture
those of `text` and `image`; answers have those of the wire. What a column holds is a Kind, of which
MLflow, Arrow and Spark make types of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxferry.scoring.errors import MissingField

Kind: TypeAlias = "str | list[Kind] | dict[str, Kind]"
"""One of SCALARS, a list of one kind, or an object by its fields."""
SCALARS = ("string", "double", "float", "long", "boolean", "binary")
Cells: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column that rows are read from, by its name or one of `aliases`."""

    name: str
    kind: Kind
    required: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """What a task reads from and writes into a table. `outputs` are for the given parameters,
    `parameters` the kinds of all that a request may send. `alone`: rows cannot share a request."""

    inputs: tuple[Column, ...]
    outputs: Mapping[str, Kind]
    parameters: Mapping[str, Kind]
    item: Callable[[Cells], Any]
    cells: Callable[[Any], Cells]
    payload: Callable[[Sequence[Any], Mapping[str, Any]], Any]
    answers: Callable[[Any], list[Any]]
    alone: bool = False

    def items(self, table: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Each row's item; a cell that is None or NaN is absent. Columns that the task does not
        know are passed over. Raises MissingField for a required column that is not there."""
        found = {column.name: _found(column, table) for column in self.inputs}
        read = {name: list(table[source]) for name, source in found.items() if source is not None}
        rows = zip(*read.values(), strict=True)
        return [
            self.item({k: v for k, v in zip(read, row, strict=True) if _there(v)}) for row in rows
        ]

    def table(self, answers: Sequence[Any]) -> dict[str, list[Any]]:
        """The answers as columns; of an answer that is None (the row failed) every cell is None."""
        empty = dict.fromkeys(self.outputs)
        rows = [empty if answer is None else self.cells(answer) for answer in answers]
        return {name: [row[name] for row in rows] for name in self.outputs}


def _found(column: Column, table: Mapping[str, Any]) -> str | None:
    names = [name for name in (column.name, *column.aliases) if name in table]
    if column.required and not names:
        came = ", ".join(repr(str(name)[:40]) for name in list(table)[:10]) or "none"
        also = f" (or {', '.join(map(repr, column.aliases))})" if column.aliases else ""
        raise MissingField(f"there is no column {column.name!r}{also}; got column(s) {came}")
    return names[0] if names else None


def _there(cell: Any) -> bool:
    return cell is not None and not (isinstance(cell, float) and math.isnan(cell))


def listed(cells: Cells) -> Any:
    """An item of the cells, with lists for arrays, as some tables hold lists."""
    return {name: _plain(value) for name, value in cells.items()}


def _plain(value: Any) -> Any:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value
