"""The tasks: for each one row here, and one file and class that bear its name and are imported only
where they are used. A task turns a decoded payload into the answer of transformers' pipeline of the
same name."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from onnxferry.scoring.engine import Runner
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import custom

TASKS: dict[str, tuple[str, ...]] = {  # what each needs besides numpy and onnxruntime
    "feature-extraction": ("tokenizers",),
    "fill-mask": ("tokenizers",),
    "image-classification": ("pillow",),
    "image-feature-extraction": ("pillow",),
    "object-detection": ("pillow",),
    "question-answering": ("tokenizers",),
    "sentence-similarity": ("tokenizers",),
    "tensors": (),
    "text-classification": ("tokenizers",),
    "text-ranking": ("tokenizers",),
    "token-classification": ("tokenizers",),
    "zero-shot-classification": ("tokenizers",),
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
        return TASKS[spec.task]
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
    task = getattr(module(spec.task), spec.task.title().replace("-", ""))
    return cast(Task, task(spec, runner, folder))


def module(task: str) -> ModuleType:
    """The module of one of TASKS."""
    return importlib.import_module(f"{__name__}.{task.replace('-', '_')}")
