"""The user's settings file, read with the very readers of the task that will serve the model."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.tasks import TASKS
from onnxferry.scoring.validation import Parameter
from onnxferry.system.errors import UsageError


def known(task: str) -> Mapping[str, Parameter]:
    """The settings of a task, as its file in scoring/tasks lists them."""
    module, _, _ = TASKS[task].class_path.partition(".")
    found: Mapping[str, Parameter] = getattr(
        importlib.import_module(f"onnxferry.scoring.tasks.{module}"), "SETTINGS", {}
    )
    return found


def read_given(path: Path | None, task: str) -> dict[str, Any]:
    """The user's settings; null leaves one as it is derived, unless it is a value of its own.

    Raises UsageError that names a key that the task does not have, or that holds what the task
    cannot read.
    """
    if path is None:
        return {}
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"--settings {path}: not readable as JSON ({e})") from e
    if not isinstance(given, dict):
        raise UsageError(f"--settings {path}: expected a JSON object, got {type(given).__name__}")
    table = known(task)
    if unknown := sorted(set(given) - set(table)):
        raise UsageError(
            f"--settings {path}: unknown key(s) {', '.join(unknown)} for {task}; known:"
            f" {', '.join(table) or 'none'}"
        )
    _check(given, table, path)
    return {key: value for key, value in given.items() if value is not None or table[key].null}


def _check(given: Mapping[str, Any], table: Mapping[str, Parameter], path: Path) -> None:
    try:
        for key in given:
            table[key].take(given, key)
    except ScoringError as e:
        raise UsageError(f"--settings {path}: {e}") from e
