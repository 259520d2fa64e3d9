"""Inputs, answers and shares as short texts for messages and reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.wire import JSON, Request

MAX_LENGTH = 80  # characters
_PARTS = ("question", "context", "text", "text_pair")  # in the order in which they are read


@dataclass(frozen=True)
class ChangedAnswer:
    """What was asked, the source model's answer, the variant's: texts of MAX_LENGTH at most."""

    where: str
    input: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where}: {self.expected} became {self.got}"


def format_request(request: Request) -> str:
    """The inputs of a request; "" where its body is no JSON."""
    if request.content_type != JSON:
        return ""
    data = json.loads(request.body)
    return format_inputs(data.get("inputs", data) if isinstance(data, Mapping) else data)


def format_inputs(value: Any) -> str:
    """One item of a request's inputs."""
    if isinstance(value, Mapping) and (parts := [str(value[p]) for p in _PARTS if p in value]):
        return shorten(" | ".join(parts))
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def format_answer(value: Any) -> str:
    """An answer, or a task metric's decision."""
    for fits, words in _FORMS:
        if fits(value):
            return shorten(words(value))
    return shorten(json.dumps(value, ensure_ascii=False, default=str))


def _has(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and key in value


def _is_ranking(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _has(value[0], "label")


_FORMS: Sequence[tuple[Callable[[Any], bool], Callable[[Any], str]]] = (
    (lambda v: isinstance(v, str), str),
    (lambda v: isinstance(v, np.ndarray), lambda v: f"a vector of {v.size} numbers"),
    (lambda v: isinstance(v, frozenset), lambda v: ", ".join(sorted(map(_word, v))) or "nothing"),
    (lambda v: isinstance(v, tuple), lambda v: str(v[0]) or "no answer"),
    (lambda v: _has(v, "answer"), lambda v: f"{v['answer'] or 'no answer'} ({v['score']:.2f})"),
    (_is_ranking, lambda v: f"{v[0]['label']} ({v[0]['score']:.2f})"),
)


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def shorten(text: str, most: int = MAX_LENGTH) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def percent(value: float) -> str:
    """0.0123 -> 1.23%, 0.01 -> 1%."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%"
