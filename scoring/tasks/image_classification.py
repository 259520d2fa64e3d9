"""Image classification.

Request: the bytes of one image as the body, or {"inputs": base64 | [base64, ...], "parameters":
{"top_k", "function_to_apply"}}. Answer, as transformers' pipeline gives it: the top_k labels, best
first, [{"label", "score"}, ...]; a list for a list.

Settings: those of scoring/images.py, `top_k` (null: all), and `problem_type`: the default of
function_to_apply is sigmoid for multi_label_classification and for one label, else softmax.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import images, settings, timing, validation
from onnxferry.scoring.codecs import IMAGES, JSON, Image
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidType, InvalidValue
from onnxferry.scoring.labels import FUNCTIONS, Labels
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

BATCH = 8  # images a run; bounds its memory
SETTINGS = {
    **images.SETTINGS,
    "top_k": Parameter(validation.positive_or_null, 5, null=True),
    "problem_type": Parameter(
        validation.one_of("single_label_classification", "multi_label_classification", "regression")
    ),
}


def read_image(value: object, where: str) -> bytes:
    """The bytes of an image, a base64 string or a data: URL."""
    if isinstance(value, Image):
        return value.data
    if not isinstance(value, str):
        raise InvalidType(f"'{where}' must be a picture in base64, got {validation.kind(value)}")
    text = validation.text(value, where)
    if text.startswith(("http://", "https://")):
        raise InvalidValue(f"'{where}' is a URL, which is not fetched; send the picture's bytes")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise InvalidValue(f"'{where}' is not base64 of a picture") from e


class ImageClassification:
    """A Task; see the module."""

    accepts = (JSON, *IMAGES)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        if (count := len(runner.inputs)) != 1:
            raise ValueError(f"image-classification needs a graph with one input, not {count}")
        self._runner, self._limits = runner, spec.limits
        self._labels = Labels(spec.labels, runner)
        self._preprocessing = images.Preprocessing.read(values)
        sigmoid = len(self._labels) == 1 or values["problem_type"] == "multi_label_classification"
        function = "sigmoid" if sigmoid else "softmax"
        self._parameters = {
            "top_k": Parameter(validation.positive, values["top_k"]),
            "function_to_apply": Parameter(validation.one_of(*FUNCTIONS), function),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        bare = isinstance(payload, Image)
        data = {"inputs": payload} if bare else validation.mapping(payload, "the body")
        inputs = validation.member(data, "inputs")
        encoded, many = validation.one_or_list(inputs, read_image, self._limits.items)
        options = validation.parameters(data, self._parameters)
        rows = self._scores(encoded, FUNCTIONS[options["function_to_apply"]])
        answers = [self._labels.top(row, options["top_k"]) for row in rows]
        return answers if many else answers[0]

    def _scores(self, encoded: Sequence[bytes], function: Callable[[Array], Array]) -> list[Array]:
        """The scores [labels] of each image."""
        name = self._runner.inputs[0].name
        rows: list[Array] = []
        size = 1 if self._runner.batch_dependent else BATCH
        for i in range(0, len(encoded), size):
            with timing.stage("preprocess"):
                pixels = np.stack([self._pixels(data) for data in encoded[i : i + size]])
            outputs = self._runner.run({name: pixels})
            logits = [self._labels.logits([o[k] for o in outputs]) for k in range(len(pixels))]
            rows += map(function, logits)
        return rows

    def _pixels(self, data: bytes) -> Array:
        return self._preprocessing.apply(images.decode(data, self._limits.pixels))
