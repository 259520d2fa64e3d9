"""Compare an answer with the golden one: as JSON data, numbers within a tolerance, all else
exactly."""

from __future__ import annotations

import json
import math
from typing import Any

TOLERANCE = 1e-4  # relative or absolute: processors differ in the last digits of a float32 sum


def difference(expected: Any, actual: Any, where: str = "answer") -> str | None:
    """Where `actual` first differs from `expected`, in words; None if it does not."""
    if _is_float(expected, actual):
        same = math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    elif (
        isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys()
    ):
        return _first(difference(expected[key], actual[key], f"{where}.{key}") for key in expected)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return _first(
            difference(e, a, f"{where}[{i}]")
            for i, (e, a) in enumerate(zip(expected, actual, strict=True))
        )
    else:
        same = type(expected) is type(actual) and expected == actual
    return None if same else f"{where}: expected {_short(expected)}, got {_short(actual)}"


def _is_float(*values: Any) -> bool:
    """Whether these are two numbers and one of them a float: a float may come as 1 or as 1.0."""
    numbers = all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )
    return numbers and any(isinstance(value, float) for value in values)


def _first(differences: Any) -> str | None:
    return next((found for found in differences if found), None)


def _short(value: Any, limit: int = 1000) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text)} characters)"
