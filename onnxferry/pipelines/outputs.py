"""What pipelines answer: DeepSparse's output objects, with its field names, as frozen dataclasses.

`model_dump()` and `dict()` give a dict, `model_dump_json()` and `json()` its JSON text, as users of
pydantic's models know them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np


class Output:
    """Of one call."""

    def model_dump(self) -> dict[str, Any]:
        """The fields as JSON data; arrays stay arrays."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    def model_dump_json(self) -> str:
        """The fields as JSON text; arrays are lists."""
        return json.dumps(self.model_dump(), ensure_ascii=False, default=np.ndarray.tolist)

    dict, json = model_dump, model_dump_json

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of each field, so that dict(output) works as with pydantic's."""
        return iter(vars(self).items())


@dataclasses.dataclass(frozen=True)
class QuestionAnsweringOutput(Output):
    """`score`: the sum of the start's and the end's logit. [start, end): the answer's characters in
    the context."""

    score: float
    answer: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class TextClassificationOutput(Output):
    """One entry a text: its best label and that one's score or, with top_k above 1, lists."""

    labels: list[Any]
    scores: list[Any]


@dataclasses.dataclass(frozen=True)
class TokenClassificationResult(Output):
    """A token or, grouped, an entity; [start, end): its characters. `index`: the token's place,
    None in a group."""

    entity: str
    score: float
    word: str
    start: int | None = None
    end: int | None = None
    index: int | None = None
    is_grouped: bool = False


@dataclasses.dataclass(frozen=True)
class TokenClassificationOutput(Output):
    """A list of results for each text."""

    predictions: list[list[TokenClassificationResult]]

    def __post_init__(self) -> None:
        """Take results that are dicts, too."""
        made = [[TokenClassificationResult(**dict(r)) for r in found] for found in self.predictions]
        object.__setattr__(self, "predictions", made)


@dataclasses.dataclass(frozen=True)
class ZeroShotTextClassificationOutput(Output):
    """Labels, best first, and their scores: lists for one text, lists of lists for a list."""

    sequences: Any
    labels: list[Any]
    scores: list[Any]


@dataclasses.dataclass(frozen=True)
class EmbeddingExtractionOutput(Output):
    """One vector a text: a list of numbers or, with return_numpy, float32 [numbers]."""

    embeddings: list[Any]


@dataclasses.dataclass(frozen=True)
class ImageClassificationOutput(Output):
    """The top_k labels and their scores: lists for one picture, lists of lists for several."""

    labels: list[Any]
    scores: list[Any]
