"""Tables in a table of deploy.toml, such as [sagemaker.serving]: which there are, and their keys. A
key whose value is one of several tables (a tagged union) has them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Model = type[BaseModel]


def tables_in(field: FieldInfo) -> tuple[Model, ...]:
    """The tables that the value of a key may be; none where it is no table."""
    return tuple(_models(field.annotation))


def _models(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif getattr(annotation, "__origin__", None) not in (dict, tuple, list):
        for inner in get_args(annotation):
            yield from _models(inner)


@dataclass(frozen=True)
class Key:
    """A key by its path from a table, and its fields: one in each table that has it."""

    path: tuple[str, ...]
    fields: tuple[FieldInfo, ...]

    @property
    def tables(self) -> tuple[Model, ...]:
        """The tables that its value may be."""
        return tuple(dict.fromkeys(t for field in self.fields for t in tables_in(field)))


def fields_of(tables: Sequence[Model], name: str) -> tuple[FieldInfo, ...]:
    """The fields called `name` of `tables`."""
    return tuple(t.model_fields[name] for t in tables if name in t.model_fields)


def keys(tables: Sequence[Model], path: tuple[str, ...] = ()) -> Iterator[Key]:
    """All keys of `tables`, then those of the tables in them."""
    names = dict.fromkeys(name for table in tables for name in table.model_fields)
    found = [Key((*path, name), fields_of(tables, name)) for name in names]
    yield from found
    for key in found:
        if key.tables:
            yield from keys(key.tables, key.path)


def by_variable(tables: Sequence[Model], name: str) -> str:
    """The path of the key that a variable's `name` stands for, such as serving_memory_mb; `name`
    itself where there is none."""
    found = {"_".join(key.path): ".".join(key.path) for key in keys(tables)}
    return found.get(name, name)


def tags_of(table: Model) -> tuple[str, ...]:
    """What the key `mode` may say in a table that is one of several."""
    field = table.model_fields.get("mode")
    return tuple(map(str, get_args(field.annotation))) if field else ()
