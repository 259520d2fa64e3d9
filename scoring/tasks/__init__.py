"""The tasks: one file each, one row here. A task turns a decoded payload into the answer that transformers' pipeline of
the same name gives. Only the file of the task in use is imported: a host of pictures has no tokenizers, one of texts no
Pillow.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from scoring.contract import ModelSpec
from scoring.engine import Session

TASKS = {  # name -> the class in scoring.tasks that does it
    "feature-extraction": "feature_extraction.FeatureExtraction",
    "image-classification": "image_classification.ImageClassification",
    "question-answering": "question_answering.QuestionAnswering",
    "text-classification": "text_classification.TextClassification",
}


class Task(Protocol):
    """`accepts`: the media types of its requests. `answer`: payload (see codecs) -> JSON data; raises ScoringError."""

    @property
    def accepts(self) -> tuple[str, ...]: ...

    def answer(self, payload: Any) -> Any: ...


def build(spec: ModelSpec, session: Session, folder: Path) -> Task:
    """The task that `spec` names, over the graph in `session` and the files in `folder`.

    Raises KeyError for an unknown task, KeyError, TypeError or ValueError for settings that do not fit it.
    """
    module, _, name = TASKS[spec.task].partition(".")
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name)(spec, session, folder)
    return cast(Task, made)
