"""The tasks: one file each, imported only where it is used, and one row here. A task turns a
decoded payload into the answer of transformers' pipeline of the same name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from onnxferry.scoring.engine import Runner
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import custom


@dataclass(frozen=True)
class TaskEntry:
    """`class_path`: MODULE.CLASS in this package. `needs`: as the function of that name gives."""

    class_path: str
    needs: tuple[str, ...]


TASKS = {
    "feature-extraction": TaskEntry("feature_extraction.FeatureExtraction", ("tokenizers",)),
    "fill-mask": TaskEntry("fill_mask.FillMask", ("tokenizers",)),
    "image-classification": TaskEntry("image_classification.ImageClassification", ("pillow",)),
    "question-answering": TaskEntry("question_answering.QuestionAnswering", ("tokenizers",)),
    "tensors": TaskEntry("tensors.Tensors", ()),
    "text-classification": TaskEntry("text_classification.TextClassification", ("tokenizers",)),
    "token-classification": TaskEntry("token_classification.TokenClassification", ("tokenizers",)),
    "zero-shot-classification": TaskEntry(
        "zero_shot_classification.ZeroShotClassification", ("tokenizers",)
    ),
}


class Task(Protocol):
    """Made with (spec, runner, folder)."""

    @property
    def accepts(self) -> tuple[str, ...]:
        """The media types of its requests."""

    def answer(self, payload: Any) -> Any:
        """JSON data, or numpy arrays in it, for a payload (see codecs). Raises ScoringError."""


def needs(spec: ModelSpec) -> tuple[str, ...]:
    """The distributions that the task imports besides numpy and onnxruntime. Raises ModelError for
    an unknown task, or a user's own that is not described in full."""
    if spec.task in TASKS:
        return TASKS[spec.task].needs
    if spec.task.startswith(custom.PREFIX):
        return custom.needs(spec)
    known = ", ".join([*sorted(TASKS), "file:NAME.py:CLASS"])
    raise ModelError(f"unknown task '{spec.task}' in model_spec.json; known: {known}")


def build(spec: ModelSpec, runner: Runner, folder: Path) -> Task:
    """The task of `spec`, over `runner` and the files in `folder`. Raises ModelError as `needs`;
    ValueError, or ModelError with the file, for settings that do not fit."""
    needs(spec)
    if spec.task not in TASKS:
        return cast(Task, custom.build(spec, runner, folder))
    module, _, name = TASKS[spec.task].class_path.partition(".")
    task = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return cast(Task, task(spec, runner, folder))
