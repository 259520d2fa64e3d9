"""The tasks: one file each, one row here. A task turns a decoded payload into the answer that transformers' pipeline of
the same name gives. Only the file of the task in use is imported: a host of pictures has no tokenizers, one of texts no
Pillow.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from scoring.contract import ModelSpec
from scoring.engine import Session


@dataclass(frozen=True)
class Row:
    """`where`: the class in scoring.tasks. `needs`: the distributions that it imports besides numpy and onnxruntime."""

    where: str
    needs: tuple[str, ...]


TASKS = {
    "feature-extraction": Row("feature_extraction.FeatureExtraction", ("tokenizers",)),
    "image-classification": Row("image_classification.ImageClassification", ("pillow",)),
    "question-answering": Row("question_answering.QuestionAnswering", ("tokenizers",)),
    "text-classification": Row("text_classification.TextClassification", ("tokenizers",)),
}


class Task(Protocol):
    """`accepts`: the media types of its requests. `answer`: payload (see codecs) -> JSON data; raises ScoringError."""

    @property
    def accepts(self) -> tuple[str, ...]: ...

    def answer(self, payload: Any) -> Any: ...


def build(spec: ModelSpec, session: Session, folder: Path) -> Task:
    """The task that `spec` names, over the graph in `session` and the files in `folder`.

    Raises KeyError for an unknown task; AttributeError, KeyError, TypeError or ValueError for settings that do not fit.
    """
    module, _, name = TASKS[spec.task].where.partition(".")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name)(spec, session, folder)
    return cast(Task, made)
