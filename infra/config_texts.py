"""A setting as text, from a flag or a variable: what it means for a key of deploy.toml, as far as
pydantic does not see it by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

Tables = Mapping[str, type[BaseModel]]


def put(data: dict[str, Any], tables: Tables, path: str, text: str) -> None:
    """Lay a setting over what the file says: "functions.location", or "functions.tags.team" for one
    entry of a table in a table; the others stay. A text for a table as a whole takes its place."""
    table, key, *entry = path.split(".", 2)
    inside = data.setdefault(table, {})
    if not isinstance(inside, dict):
        return
    if entry and _kind(tables, table, key) is dict:
        entries = inside.get(key, {})
        inside[key] = {**entries, entry[0]: text} if isinstance(entries, dict) else entries
    else:
        inside[".".join((key, *entry))] = _meant(tables, table, key, text)


def _meant(tables: Tables, table: str, key: str, text: str) -> Any:
    if (kind := _kind(tables, table, key)) in _MEANT:
        return _MEANT[kind](text)
    field = tables[table].model_fields.get(key) if table in tables else None
    choices = {str(choice): choice for choice in get_args(field.annotation)} if field else {}
    return choices.get(text, text)


def _kind(tables: Tables, table: str, key: str) -> Any:
    field = tables[table].model_fields.get(key) if table in tables else None
    return get_origin(field.annotation) if field else None


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
