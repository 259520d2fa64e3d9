"""Image classification.

Request: the bytes of one picture (JPEG, PNG, WebP, GIF, BMP, TIFF) as the body, or
{"inputs": base64 | [base64, ...], "parameters": {"top_k"}}. A URL is not fetched.
Answer, as transformers' image-classification pipeline gives it: the top_k (default 5) labels, best first,
[{"label", "score"}, ...]; a list is answered by a list.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scoring import fields, trace
from scoring.codecs import IMAGES, Image
from scoring.contract import JSON, ModelSpec
from scoring.engine import Array, Session
from scoring.errors import InvalidValue
from scoring.labels import Labels, softmax
from scoring.pictures import Preprocessing, decode

BATCH = 8  # pictures a run; bounds its memory


def read_picture(value: object, where: str) -> bytes:
    """The bytes of a picture that came as such, as a base64 string or as a data: URL."""
    if isinstance(value, Image):
        return value.data
    text = fields.text(value, where)
    if text.startswith(("http://", "https://")):
        raise InvalidValue(f"'{where}' is a URL, which is not fetched; send the picture's bytes or their base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise InvalidValue(f"'{where}' is not base64 of a picture") from e


class ImageClassification:
    accepts = (JSON, *IMAGES)

    def __init__(self, spec: ModelSpec, session: Session, folder: Path) -> None:
        if len(session.inputs) != 1:
            raise ValueError(f"image-classification needs a graph with one input, this one has {len(session.inputs)}")
        self._session, self._labels, self._limits = session, Labels(spec.labels, session), spec.limits
        self._preprocessing = Preprocessing.read(spec.settings)
        self._parameters = {"top_k": fields.Parameter(fields.positive_or_null, spec.settings.get("top_k", 5))}

    def answer(self, payload: Any) -> Any:
        data = {"inputs": payload} if isinstance(payload, Image) else fields.mapping(payload, "the body")
        pictures, many = fields.one_or_list(fields.member(data, "inputs"), read_picture, self._limits.items)
        options = fields.parameters(data, self._parameters)
        answers = [self._labels.rank(row, options["top_k"]) for row in self._scores(pictures)]
        return answers if many else answers[0]

    def _scores(self, pictures: Sequence[bytes]) -> list[Array]:
        """Probabilities [labels] of each picture."""
        name, rows = self._session.inputs[0].name, []
        size = 1 if self._session.mixes_rows else BATCH
        for i in range(0, len(pictures), size):
            with trace.stage("preprocess"):
                decoded = (decode(data, self._limits.pixels) for data in pictures[i : i + size])
                pixels = np.stack([self._preprocessing.apply(picture) for picture in decoded])
            rows += list(softmax(self._session.run({name: pixels})[0]))
        return rows
