"""Compare a reply with the golden answer: as JSON data, numbers within a tolerance, all else
exactly."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring.manifest import Golden

TOLERANCE = 1e-4  # relative or absolute: processors differ in the last digits of a float32 sum


@dataclass(frozen=True)
class Reply:
    """What came back for one request: `body` without content encoding, `seconds` that the client
    waited, `served_by` the version, deployment or variant, as far as the platform tells."""

    status: int
    body: bytes
    content_type: str
    seconds: float
    served_by: str = ""


def mismatch(golden: Golden, reply: Reply) -> str | None:
    """How the reply to the golden request differs from the golden answer; None if it does not."""
    shown = reply.body[:2000].decode("utf-8", errors="replace")
    if reply.status != 200:
        return f"the golden request was refused with status {reply.status}: {shown}"
    try:
        found = difference(golden.answer, json.loads(reply.body))
    except ValueError:
        found = "It is not JSON"
    if not found:
        return None
    expected = json.dumps(golden.answer, ensure_ascii=False)[:2000]
    start = f"the answer to the golden request differs. {found}"
    return f"{start}\nexpected: {expected}\nanswered: {shown}"


def difference(expected: Any, actual: Any, where: str = "answer") -> str | None:
    """Where `actual` first differs from `expected`, in words; None if it does not."""
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        parts = [(f"{where}.{key}", value, actual[key]) for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        parts = [(f"{where}[{i}]", value, actual[i]) for i, value in enumerate(expected)]
    elif _same(expected, actual):
        return None
    else:
        return f"{where}: expected {_short(expected)}, got {_short(actual)}"
    return next(filter(None, (difference(e, a, place) for place, e, a in parts)), None)


def _same(expected: Any, actual: Any) -> bool:
    """A float may come as 1 or as 1.0; all else is of one type."""
    types = {type(expected), type(actual)}
    if float in types and types <= {int, float}:
        return math.isclose(expected, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return len(types) == 1 and bool(expected == actual)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]} ... ({len(text)} characters)"
