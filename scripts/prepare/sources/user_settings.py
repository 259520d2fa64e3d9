"""The user's settings file, read with the very readers of the task that will serve the model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.tasks import TASKS
from onnxferry.scoring.validation import Parameter
from onnxferry.scripts.prepare.sources.settings import read_object
from onnxferry.system.errors import UsageError


def _known(task: str) -> Mapping[str, Parameter]:
    """The settings of a task, as its file in scoring/tasks lists them."""
    name, _, _ = TASKS[task].class_path.partition(".")
    module = importlib.import_module(f"onnxferry.scoring.tasks.{name}")
    found: Mapping[str, Parameter] = getattr(module, "SETTINGS", {})
    return found


def read_user_settings(path: Path | None, task: str) -> dict[str, Any]:
    """The user's settings; null leaves one as it is derived, unless it is a value of its own.

    Raises UsageError that names a key that the task does not have, or that holds what the task
    cannot read.
    """
    if path is None:
        return {}
    given = read_object(path, "--settings ")
    table = _known(task)
    if unknown := sorted(set(given) - set(table)):
        known = ", ".join(table) or "none"
        what = f"unknown key(s) {', '.join(unknown)} for {task}; known: {known}"
        raise UsageError(f"--settings {path}: {what}")
    try:
        for key in given:
            table[key].take(given, key)
    except ScoringError as e:
        raise UsageError(f"--settings {path}: {e}") from e
    return {key: value for key, value in given.items() if value is not None or table[key].null}
