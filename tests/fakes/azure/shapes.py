"""Which fields a body may have, and which it must: {"location": NEEDED, "properties": {"reserved":
MAY, ...}}.

A nested dict describes an object that may be there; with the key NEEDED: True it must. A list of
one shape describes an array. ANY takes whatever comes, such as tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ANY = MAY = "may"
NEEDED = "needed"


def complaints(body: Any, shape: Any, where: str = "") -> Iterator[str]:
    """What is wrong with `body`, a line a field."""
    if isinstance(shape, list):
        for i, item in enumerate(body if isinstance(body, list) else [body]):
            yield from complaints(item, shape[0], f"{where}[{i}]")
    elif isinstance(shape, dict):
        yield from _object(body, shape, where)


def _object(body: Any, shape: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{where or 'body'}: an object was expected, {type(body).__name__} came"
        return
    for key in body:
        if key not in shape:
            yield f"{where}{'.' if where else ''}{key}: unknown field"
    for key, inner in shape.items():
        path = f"{where}{'.' if where else ''}{key}"
        if body.get(key) is not None:
            yield from complaints(body[key], inner, path)
        elif key != NEEDED and (inner == NEEDED or (isinstance(inner, dict) and inner.get(NEEDED))):
            yield f"{path}: required field is missing"
