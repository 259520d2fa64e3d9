"""Compare answers with the golden ones: as JSON data, numbers within the tolerance recorded with
the model, all else exactly."""

from __future__ import annotations

import json
import math
from typing import Any

from onnxferry.scoring.manifest import TOLERANCE, Golden

UNSURE = 0.5  # the score below which a detector shows no object by default


def mismatch(golden: Golden, status: int, body: bytes, cpu: str) -> str | None:
    """How what came back for one golden request, without content encoding, differs from its answer;
    None if it does not. `cpu`: the kind of CPU that answered, "" where the host does not tell."""
    shown = body[:2000].decode("utf-8", errors="replace")
    request = f"the golden request {golden.name}".rstrip()
    if status != 200:
        return f"{request} was refused with status {status}: {shown}"
    try:
        found = difference(golden.answer, json.loads(body), golden.tolerance)
    except ValueError:
        found = "It is not JSON"
    if not found:
        return None
    expected = json.dumps(golden.answer, ensure_ascii=False)[:2000]
    start = f"the answer to {request} differs by more than {golden.tolerance:g}. {found}"
    return f"{start}\nexpected: {expected}\nanswered: {shown}\n{_cpus(golden.cpu, cpu)}"


def _cpus(prepared: str, answered: str) -> str:
    """Which kinds of CPU gave the two answers, and what to do where they may differ."""
    kinds = [kind or "unknown" for kind in (prepared, answered)]
    said = f"CPU kind: prepared on {kinds[0]}, answered on {kinds[1]}"
    if kinds[0] == kinds[1] != "unknown":
        return said
    return f"{said}; int8 answers alike on all kinds where it was prepared with --cpu any"


def difference(
    expected: Any, actual: Any, tolerance: float = TOLERANCE, where: str = "answer"
) -> str | None:
    """Where `actual` first differs from `expected`, in words; None if it does not. Entries that are
    ranked by scores may change places where these are within the tolerance of each other."""
    if isinstance(expected, str) and isinstance(actual, str):
        expected, actual = _data(expected), _data(actual)
    expected, actual = _entries(expected), _entries(actual)
    if where.endswith(".box"):
        return _box_difference(expected, actual, tolerance, where)
    if _unsure(expected) and isinstance(actual, dict) and "label" in actual:
        actual = {**actual, "label": expected["label"]}
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        parts = [(f"{where}.{key}", value, actual[key]) for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        ordered = _in_order_of(expected, actual, tolerance)
        parts = [(f"{where}[{i}]", value, ordered[i]) for i, value in enumerate(expected)]
    elif _same(expected, actual, tolerance):
        return None
    else:
        return f"{where}: expected {_short(expected)}, got {_short(actual)}"
    found = (difference(e, a, tolerance, place) for place, e, a in parts)
    return next(filter(None, found), None)


def _data(text: str) -> Any:
    """What a text holds that is a JSON object or list, as a column of a table holds the answer of a
    user's own task."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unsure(entry: Any) -> bool:
    """Whether it is an object that a detector would not show by default: which of its labels is the
    likeliest may hang on the last bits."""
    return isinstance(entry, dict) and "box" in entry and entry.get("score", 1) < UNSURE


def _box_difference(expected: Any, actual: Any, tolerance: float, where: str) -> str | None:
    """Corners are whole pixels, so that one of them may be off where they were cut."""
    most = 1 + tolerance * max(map(abs, expected.values()), default=0)
    same = isinstance(actual, dict) and actual.keys() == expected.keys()
    if same and all(abs(expected[key] - actual[key]) <= most for key in expected):
        return None
    return f"{where}: expected {_short(expected)}, got {_short(actual)}"


def _entries(answer: Any) -> Any:
    """zero-shot-classification's lists "labels" and "scores" as one list of entries; and a record
    without what repeats one of its entries, as the columns of a table repeat the best: which one
    that is may hang on the last bits."""
    if not isinstance(answer, dict):
        return answer
    labels, scores = answer.get("labels"), answer.get("scores")
    if isinstance(labels, list) and isinstance(scores, list) and len(labels) == len(scores):
        pairs = zip(labels, scores, strict=True)
        ranked = [{"label": label, "score": score} for label, score in pairs]
        answer = {**{k: v for k, v in answer.items() if k != "scores"}, "labels": ranked}
    lists = (value for value in answer.values() if isinstance(value, list))
    entries = (entry for one in lists for entry in one if isinstance(entry, dict))
    best = next((entry for entry in entries if entry.items() <= answer.items()), {})
    return {k: v for k, v in answer.items() if k not in best}


def _in_order_of(expected: list[Any], actual: list[Any], tolerance: float) -> list[Any]:
    """`actual` with its entries where `expected` has them, if each place's score is as expected."""
    if not all(isinstance(e, dict) and "score" in e for e in (*expected, *actual)):
        return actual
    pairs = zip(expected, actual, strict=True)
    places = {_name(entry): i for i, entry in enumerate(expected)}
    moved = {_name(entry) for entry in actual} == places.keys() and len(places) == len(actual)
    if not moved or not all(_same(e["score"], a["score"], tolerance) for e, a in pairs):
        return actual
    return sorted(actual, key=lambda entry: places[_name(entry)])


def _name(entry: dict[str, Any]) -> str:
    """All of an entry but its measured numbers."""
    exact = {key: value for key, value in entry.items() if not isinstance(value, float)}
    return json.dumps({**exact, "score": 0}, sort_keys=True)


def _same(expected: Any, actual: Any, tolerance: float) -> bool:
    """A float may come as 1 or as 1.0; all else is of one type."""
    types = {type(expected), type(actual)}
    if float in types and types <= {int, float}:
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return len(types) == 1 and bool(expected == actual)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1000 else f"{text[:1000]} ... ({len(text)} characters)"
