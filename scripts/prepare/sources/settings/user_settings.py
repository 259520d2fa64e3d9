"""The user's settings file, read as the task reads it; and sources that only flags describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import tasks
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.validation import Parameter
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.settings import labels
from onnxferry.scripts.prepare.sources.settings.image_settings import image_settings, is_image_task
from onnxferry.scripts.prepare.sources.settings.text_settings import text_settings
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object


@dataclass(frozen=True)
class DescribedModel:
    """What flags and files say of a source: the fields of a ModelSource that need no model."""

    task: str
    settings: Mapping[str, Any]
    labels: tuple[str, ...]
    tokenizer: TextTokenizer | None


def described_by_user(options: Options, config: Mapping[str, Any]) -> DescribedModel:
    """What the user's flags and files say; `config`: the config.json by the tokenizer, or {}."""
    task = str(options.task)
    settings, tokenizer = read_user_settings(options.settings, task), None
    names = labels.read(options.labels, task)
    if task in labels.CLASSIFIERS and not names and options.tokenizer:
        names = _configured(options, config)  # before transformers reads it with the tokenizer
    if is_image_task(task):
        settings = image_settings({}, settings, task)
    elif task != "tensors":
        from onnxferry.scripts.prepare.sources.huggingface import transformers_model

        if not options.tokenizer:
            raise UsageError(f"--tokenizer DIR is needed for {task} of {options.source}")
        tokenizer = transformers_model.read_tokenizer(options.tokenizer)
        settings = text_settings(task, tokenizer, config, settings)
    if task in labels.CLASSIFIERS and not names:
        names = _configured(options, config)
    labels.check_entailment(names, task)
    return DescribedModel(task, settings, names, tokenizer)


def _configured(options: Options, config: Mapping[str, Any]) -> tuple[str, ...]:
    if not (id2label := config.get("id2label")):
        source = f"{options.source} does not tell the names of its labels"
        raise UsageError(f"--labels FILE is needed: {source}")
    try:
        return labels.from_config({int(key): name for key, name in id2label.items()})
    except (AttributeError, ValueError) as e:
        wanted = f"id2label must map numbers to names ({e})"
        raise UsageError(f"{options.tokenizer}/config.json: {wanted}") from e


def _known(task: str) -> Mapping[str, Parameter]:
    """As the task's file in scoring/tasks lists them."""
    found: Mapping[str, Parameter] = getattr(tasks.module(task), "SETTINGS", {})
    return found


def read_user_settings(path: Path | None, task: str) -> dict[str, Any]:
    """The user's settings; null leaves one as derived, unless null is a value of its own."""
    if path is None:
        return {}
    given, table = read_object(path, "--settings "), _known(task)
    if unknown := ", ".join(sorted(set(given) - set(table))):
        known = ", ".join(table) or "none"
        raise UsageError(f"--settings {path}: unknown key(s) {unknown} for {task}; known: {known}")
    try:
        for key in given:
            table[key].take(given, key)
    except ScoringError as e:
        raise UsageError(f"--settings {path}: {e}") from e
    return {key: value for key, value in given.items() if value is not None or table[key].null}
