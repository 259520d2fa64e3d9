"""Places in JSON data, where a template has a parameter instead of a value."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

Path = tuple[str | int, ...]


def placed(body: Any, path: Path, value: Any) -> Any:
    """`body` with another `value` at `path`, where it has one there; else as it is."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(body, Mapping) and key in body:
        return {**body, key: placed(body[key], rest, value)}
    if isinstance(body, Sequence) and isinstance(key, int) and key < len(body):
        return [*body[:key], placed(body[key], rest, value), *body[key + 1 :]]
    return body


def found(body: Any, path: Path) -> Any:
    """What is at `path`; None where there is nothing."""
    try:
        return reduce(operator.getitem, path, body)
    except (KeyError, IndexError, TypeError):
        return None
