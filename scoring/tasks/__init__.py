"""The tasks: one file each, one row here. A task turns a decoded payload into the answer that
transformers' pipeline of the same name gives. Only the file of the task in use is imported: a host
of pictures has no tokenizers, one of texts no Pillow. A model directory may bring a task of its
own: see custom.py.
"""

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
class Row:
    """`where`: the class in scoring.tasks. `needs`: the distributions that it imports besides numpy
    and onnxruntime."""

    where: str
    needs: tuple[str, ...]


TASKS = {
    "feature-extraction": Row("feature_extraction.FeatureExtraction", ("tokenizers",)),
    "fill-mask": Row("fill_mask.FillMask", ("tokenizers",)),
    "image-classification": Row("image_classification.ImageClassification", ("pillow",)),
    "question-answering": Row("question_answering.QuestionAnswering", ("tokenizers",)),
    "tensors": Row("tensors.Tensors", ()),
    "text-classification": Row("text_classification.TextClassification", ("tokenizers",)),
    "token-classification": Row("token_classification.TokenClassification", ("tokenizers",)),
    "zero-shot-classification": Row(
        "zero_shot_classification.ZeroShotClassification", ("tokenizers",)
    ),
}


class Task(Protocol):
    """`accepts`: the media types of its requests. `answer`: payload (see codecs) -> JSON data, in
    which numpy arrays may stand for lists; raises ScoringError."""

    @property
    def accepts(self) -> tuple[str, ...]: ...

    def answer(self, payload: Any) -> Any: ...


def needs(spec: ModelSpec) -> tuple[str, ...]:
    """The distributions that the task of `spec` imports besides numpy and onnxruntime.

    Raises ModelError for an unknown task, or for one of the user's own that the spec does not
    describe in full.
    """
    if spec.task in TASKS:
        return TASKS[spec.task].needs
    if spec.task.startswith(custom.PREFIX):
        return custom.needs(spec)
    known = ", ".join(sorted(TASKS))
    raise ModelError(
        f"unknown task '{spec.task}' in model_spec.json; known: {known}, and file:NAME.py:CLASS"
    )


def build(spec: ModelSpec, runner: Runner, folder: Path) -> Task:
    """The task that `spec` names, over the graph in `runner` and the files in `folder`.

    Raises ModelError for what `needs` refuses; ValueError, or ModelError with the file, for
    settings that do not fit.
    """
    needs(spec)
    if spec.task not in TASKS:
        return cast(Task, custom.build(spec, runner, folder))
    module, _, name = TASKS[spec.task].where.partition(".")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name)(spec, runner, folder)
    return cast(Task, made)
