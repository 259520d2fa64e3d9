"""A setting as text, from a flag or a variable: what it means for a key of deploy.toml, as far as
pydantic does not see it by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from onnxferry.infra.nested_tables import Key, Model, fields_of

Tables = Mapping[str, Model]


def put(data: dict[str, Any], tables: Tables, path: str, text: str) -> None:
    """Lay a setting over what the file says: "functions.location", "sagemaker.serving.mode" for a
    table in a table, or "functions.tags.team" for one entry of a table of texts; the others stay. A
    text for a table as a whole takes its place."""
    table, _, key = path.partition(".")
    inside = data.setdefault(table, {})
    if isinstance(inside, dict):
        _lay(inside, (tables[table],) if table in tables else (), key, text)


def _lay(inside: dict[str, Any], tables: Sequence[Model], path: str, text: str) -> None:
    key, _, entry = path.partition(".")
    found = Key((key,), fields_of(tables, key))
    if entry and found.tables:
        below = inside.setdefault(key, {})
        if isinstance(below, dict):
            _lay(below, found.tables, entry, text)
    elif entry and dict in _kinds(found):
        entries = inside.get(key, {})
        inside[key] = {**entries, entry: text} if isinstance(entries, dict) else entries
    else:
        inside[path] = _meant(found, text)


def _meant(key: Key, text: str) -> Any:
    for kind in _kinds(key):
        if kind in _MEANT:
            return _MEANT[kind](text)
    choices = {str(one): one for field in key.fields for one in get_args(field.annotation)}
    return choices.get(text, text)


def _kinds(key: Key) -> list[Any]:
    """What the values of a key are made of; a table's is a dict."""
    own = [dict] if key.tables else []
    return [*own, *(get_origin(field.annotation) for field in key.fields)]


def _entries(text: str) -> Any:
    """A table: JSON, or NAME=VALUE,NAME=VALUE; any other text stays, and is a mistake."""
    try:
        return json.loads(text)
    except ValueError:
        if text.lstrip().startswith("{"):
            return text
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        good = all(equals and name.strip() for name, equals, _ in pairs)
        return {name.strip(): value.strip() for name, _, value in pairs} if good else text


def _items(text: str) -> Any:
    """A list: JSON, or ITEM,ITEM."""
    try:
        return json.loads(text)
    except ValueError:
        return [item.strip() for item in text.split(",") if item.strip()]


_MEANT = {dict: _entries, tuple: _items}
