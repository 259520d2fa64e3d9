"""Compare replies with the golden answers: as JSON data, numbers within the tolerance recorded with
the model, all else exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring.manifest import TOLERANCE, Golden
from onnxferry.scoring.wire import CPU_HEADER


@dataclass(frozen=True)
class Reply:
    """What came back for one request: `body` without content encoding, `seconds` that the client
    waited, `served_by` the version, deployment or variant and `cpu` the kind of the host's CPU, as
    far as the platform tells."""

    status: int
    body: bytes
    content_type: str
    seconds: float
    served_by: str = ""
    cpu: str = ""


def cpu_of(headers: Mapping[str, str]) -> str:
    """The kind of CPU that answered, by an answer's headers; "" where they do not tell."""
    return headers.get(CPU_HEADER, "")


def mismatch(golden: Golden, reply: Reply) -> str | None:
    """How the reply to one golden request differs from its answer; None if it does not."""
    shown = reply.body[:2000].decode("utf-8", errors="replace")
    request = f"the golden request {golden.name}".rstrip()
    if reply.status != 200:
        return f"{request} was refused with status {reply.status}: {shown}"
    try:
        found = difference(golden.answer, json.loads(reply.body), golden.tolerance)
    except ValueError:
        found = "It is not JSON"
    if not found:
        return None
    expected = json.dumps(golden.answer, ensure_ascii=False)[:2000]
    start = f"the answer to {request} differs by more than {golden.tolerance:g}. {found}"
    return f"{start}\nexpected: {expected}\nanswered: {shown}\n{_cpus(golden.cpu, reply.cpu)}"


def _cpus(prepared: str, answered: str) -> str:
    """Which kinds of CPU gave the two answers, and what to do where they may differ."""
    kinds = [kind or "an unknown kind" for kind in (prepared, answered)]
    said = f"CPU: prepared on {kinds[0]}, answered on {kinds[1]}"
    alike = "int8 answers alike on all kinds where it was prepared with --cpu any"
    return said if prepared and prepared == answered else f"{said}; {alike}"


def difference(
    expected: Any, actual: Any, tolerance: float = TOLERANCE, where: str = "answer"
) -> str | None:
    """Where `actual` first differs from `expected`, in words; None if it does not."""
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        parts = [(f"{where}.{key}", value, actual[key]) for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        parts = [(f"{where}[{i}]", value, actual[i]) for i, value in enumerate(expected)]
    elif _same(expected, actual, tolerance):
        return None
    else:
        return f"{where}: expected {_short(expected)}, got {_short(actual)}"
    found = (difference(e, a, tolerance, place) for place, e, a in parts)
    return next(filter(None, found), None)


def _same(expected: Any, actual: Any, tolerance: float) -> bool:
    """A float may come as 1 or as 1.0; all else is of one type."""
    types = {type(expected), type(actual)}
    if float in types and types <= {int, float}:
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return len(types) == 1 and bool(expected == actual)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]} ... ({len(text)} characters)"
