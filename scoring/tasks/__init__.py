"""The tasks: one file each, one row here. A task turns a decoded payload into the answer that transformers' pipeline of
the same name gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from scoring.contract import ModelSpec
from scoring.engine import Session
from scoring.tasks.feature_extraction import FeatureExtraction
from scoring.tasks.image_classification import ImageClassification
from scoring.tasks.question_answering import QuestionAnswering
from scoring.tasks.text_classification import TextClassification


class Task(Protocol):
    """`accepts`: the media types of its requests. `answer`: payload (see codecs) -> JSON data; raises ScoringError."""

    @property
    def accepts(self) -> tuple[str, ...]: ...

    def answer(self, payload: Any) -> Any: ...


TASKS: dict[str, Callable[[ModelSpec, Session, Path], Task]] = {
    "feature-extraction": FeatureExtraction,
    "image-classification": ImageClassification,
    "question-answering": QuestionAnswering,
    "text-classification": TextClassification,
}
