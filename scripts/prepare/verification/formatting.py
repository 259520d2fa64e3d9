"""Inputs and answers as a line of a report: short, and in words where the task has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.prepare.verification.comparison import Outcome

LONG = 80  # characters
_PARTS = ("question", "context", "text", "text_pair")  # in the order in which they are read


@dataclass(frozen=True)
class Change:
    """An answer that a variant changed: what was asked (`input`), the source model's answer, the
    variant's. All three are texts of at most LONG characters."""

    where: str
    input: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.where}: {self.expected} became {self.got}"


def changed(outcomes: Sequence[Outcome]) -> list[Change]:
    """The answers that changed."""
    return [
        Change(o.sample.where, asked(o.sample.request), answer(o.expected), answer(o.got))
        for o in outcomes
        if not o.agrees
    ]


def asked(request: Request) -> str:
    """What a request asks, without its form; nothing of one that is no text."""
    if request.content_type != JSON:
        return ""
    data = json.loads(request.body)
    return inputs(data.get("inputs", data) if isinstance(data, Mapping) else data)


def inputs(value: Any) -> str:
    """One item of a request's inputs."""
    if isinstance(value, Mapping):
        parts = [str(value[name]) for name in _PARTS if name in value]
        return short(" | ".join(parts) if parts else json.dumps(value, ensure_ascii=False))
    return short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def answer(value: Any) -> str:
    """An answer, or what of it counts: a text, labels, entities, a vector."""
    for fits, words in _FORMS:
        if fits(value):
            return short(words(value))
    return short(json.dumps(value, ensure_ascii=False, default=str))


def _is_label(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], Mapping)
        and "label" in value[0]
    )


def _is_span(value: Any) -> bool:
    return isinstance(value, Mapping) and "answer" in value


_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Any], str]], ...] = (
    (lambda v: isinstance(v, str), str),
    (lambda v: isinstance(v, np.ndarray), lambda v: f"a vector of {v.size} numbers"),
    (lambda v: isinstance(v, frozenset), lambda v: ", ".join(sorted(map(_word, v))) or "nothing"),
    (lambda v: isinstance(v, tuple), lambda v: str(v[0]) or "no answer"),
    (_is_span, lambda v: f"{v['answer'] or 'no answer'} ({v['score']:.2f})"),
    (_is_label, lambda v: f"{v[0]['label']} ({v[0]['score']:.2f})"),
)


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def short(text: str, most: int = LONG) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."
