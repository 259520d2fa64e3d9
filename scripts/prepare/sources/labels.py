"""The names of a classifier's outputs, from the user's file or the model's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxferry.system.errors import UsageError

CLASSIFIERS = (
    "text-classification",
    "image-classification",
    "token-classification",
    "zero-shot-classification",
)


def read(path: Path | None, task: str) -> tuple[str, ...]:
    """The labels of a file: a JSON list of strings, or one label a line; () without a file. Raises
    UsageError for what is neither."""
    if path is None:
        return ()
    if task not in CLASSIFIERS:
        raise UsageError(f"--labels: {task} has no labels; leave it out")
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as e:
        raise UsageError(f"--labels {path}: not UTF-8 text ({e})") from e
    try:
        names = json.loads(text) if text.startswith(("[", "{")) else text.splitlines()
    except ValueError as e:
        raise UsageError(f"--labels {path}: not readable as JSON ({e})") from e
    strings = isinstance(names, list) and all(isinstance(n, str) and n.strip() for n in names)
    if not names or not strings:
        expected = "a JSON list of strings or one label a line, without empty ones"
        raise UsageError(f"--labels {path}: expected {expected}")
    return tuple(name.strip() for name in names)


def entailment(names: Sequence[str]) -> bool:
    """Whether these are the labels of a model of natural language inference."""
    return any(name.lower().startswith("entail") for name in names)


def check_entailment(names: Sequence[str], task: str) -> None:
    """Raise UsageError when zero-shot classification is asked of labels none of which says
    entailment."""
    if task == "zero-shot-classification" and not entailment(names):
        raise UsageError(
            f"--task {task}: none of the model's {len(names)} labels begins with 'entail'"
            f" ({', '.join(names[:3])}), so it is not known to judge entailment. If it does, name"
            " its labels in the order of its output with --labels"
        )


def from_config(id2label: Mapping[int, str]) -> tuple[str, ...]:
    """The labels of a configuration, in the order of the model's output."""
    return tuple(str(id2label[i]) for i in sorted(id2label))
