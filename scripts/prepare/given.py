"""The user's settings file: which keys each task has, and what each may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoring.tasks.feature_extraction import POOLINGS
from scoring.tasks.text_classification import DEFAULT_FUNCTION
from scripts.errors import UsageError

_TEXT = ("max_length", "pad_token_id", "pad_token_type_id", "padding_side")
_IMAGE = ("preprocess", "rescale_factor", "image_mean", "image_std", "top_k")
KEYS: dict[str, tuple[str, ...]] = {
    "question-answering": (*_TEXT, "doc_stride", "max_answer_length", "max_question_length"),
    "text-classification": (*_TEXT, "problem_type"),
    "feature-extraction": (*_TEXT, "pooling", "normalize"),
    "image-classification": _IMAGE,
}


def _integer(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {', '.join(choices)}"


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_number, value))


_COUNT = (_integer(1), "an integer of at least 1")
_ID = (_integer(0), "an integer of at least 0")
_COLOUR = (_colour, "a list of three numbers")
CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_length": (_integer(8), "an integer of at least 8 tokens"),
    "pad_token_id": _ID,
    "pad_token_type_id": _ID,
    "padding_side": _one_of("left", "right"),
    "doc_stride": _COUNT,
    "max_answer_length": _COUNT,
    "max_question_length": _COUNT,
    "problem_type": _one_of(*DEFAULT_FUNCTION),
    "pooling": _one_of(*POOLINGS),
    "normalize": (lambda value: isinstance(value, bool), "true or false"),
    "preprocess": (
        lambda value: isinstance(value, list) and all(isinstance(s, dict) for s in value),
        "a list of objects",
    ),
    "rescale_factor": (_number, "a number"),
    "image_mean": _COLOUR,
    "image_std": _COLOUR,
    "top_k": (lambda value: value is None or _integer(1)(value), "an integer of at least 1, or null"),
}


def read_given(path: Path | None, task: str) -> dict[str, Any]:
    """The user's settings file; raises UsageError that names a key that the task does not have."""
    if path is None:
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"--settings {path}: not readable as JSON ({e})") from e
    if not isinstance(given, dict):
        raise UsageError(f"--settings {path}: expected a JSON object, got {type(given).__name__}")
    if unknown := sorted(set(given) - set(KEYS[task])):
        raise UsageError(
            f"--settings {path}: unknown key(s) {', '.join(unknown)} for {task}; known: {', '.join(KEYS[task])}"
        )
    for key, value in given.items():
        fits, expected = CHECKS[key]
        if not fits(value):
            raise UsageError(f"--settings {path}: {key} must be {expected}, got {json.dumps(value)[:80]}")
    return given
