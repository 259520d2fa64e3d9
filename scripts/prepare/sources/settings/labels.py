"""The names of a classifier's outputs, from the user's file or the model's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import parse_json, read_text

CLASSIFIERS = (  # tasks whose outputs have names
    *(f"{kind}-classification" for kind in ("text", "image", "token", "zero-shot")),
    "object-detection",
)


def read(path: Path | None, task: str) -> tuple[str, ...]:
    """The labels of a file: a JSON list, or one a line; () without a file."""
    if path is None:
        return ()
    if task not in CLASSIFIERS:
        raise UsageError(f"--labels: {task} has no labels; leave it out")
    where = f"--labels {path}"
    text = read_text(path, "--labels ").strip()
    names = parse_json(text, where) if text.startswith(("[", "{")) else text.split("\n")
    strings = isinstance(names, list) and all(isinstance(n, str) and n.strip() for n in names)
    if not names or not strings:
        expected = "expected a JSON list of strings or one label a line, without empty ones"
        raise UsageError(f"{where}: {expected}")
    return tuple(name.strip() for name in names)


def entailment(names: Sequence[str]) -> bool:
    """Whether these are the labels of natural language inference."""
    return any(name.lower().startswith("entail") for name in names)


def check_entailment(names: Sequence[str], task: str) -> None:
    """Raise UsageError when zero-shot classification is asked of other labels."""
    if task == "zero-shot-classification" and not entailment(names):
        first = ", ".join(names[:3])
        none = f"none of the model's {len(names)} labels begins with 'entail' ({first})"
        advice = "if it judges entailment, name its labels in the order of its output with --labels"
        raise UsageError(f"--task {task}: {none}; {advice}")


def from_config(id2label: Mapping[int, str]) -> tuple[str, ...]:
    """The labels of a configuration, in the order of the output."""
    return tuple(str(id2label[i]) for i in sorted(id2label))
