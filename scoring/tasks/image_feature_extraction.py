"""Embeddings of pictures.

Request: the bytes of one image as the body, or {"inputs": base64 | [base64, ...], "parameters":
{"pool"}}. Answer, as transformers' pipeline gives it: the model's last hidden state, [1][tokens]
[hidden] or, of a convolutional network, [1][channels][height][width]; with pool its pooled output,
[1][hidden]. A list for a list.

Hidden states are the output last_hidden_state, else the first; the pooled output is pooler_output.
Settings: those of scoring/images.py, and `pool`, the default of the parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import images, settings, validation
from onnxferry.scoring.codecs import IMAGES, JSON
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, TooLarge
from onnxferry.scoring.image_runner import ImageRunner
from onnxferry.scoring.limits import MAX_NUMBERS
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

HIDDEN, POOLED = "last_hidden_state", "pooler_output"
SETTINGS = {**images.SETTINGS, "pool": Parameter(validation.flag, False)}


class ImageFeatureExtraction:
    """A Task; see the module. An answer holds at most `max_numbers` numbers."""

    accepts = (JSON, *IMAGES)

    def __init__(
        self, spec: ModelSpec, runner: Runner, folder: Path, max_numbers: int = MAX_NUMBERS
    ) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._images, self._max_numbers = ImageRunner.load(spec, runner, values), max_numbers
        names = [tensor.name for tensor in runner.outputs]
        self._hidden = names.index(HIDDEN) if HIDDEN in names else 0
        self._pooled = names.index(POOLED) if POOLED in names else None
        if values["pool"] and self._pooled is None:
            raise ValueError(f"'settings.pool' needs a graph with the output {POOLED}")
        self._parameters = {"pool": Parameter(validation.flag, values["pool"])}

    def answer(self, payload: Any) -> Any:
        """See the module."""
        pictures = self._images.read(payload)
        pool = validation.parameters(pictures.body, self._parameters)["pool"]
        index, space = self._pooled if pool else self._hidden, self._max_numbers
        if index is None:
            raise InvalidValue(f"'parameters.pool' is true, but the model has no {POOLED}")

        def read(row: Sequence[Array], _: tuple[int, int]) -> Array:
            nonlocal space
            vectors = row[index].astype(np.float32)[None]  # a copy, not a view of the whole batch
            if (space := space - vectors.size) < 0:
                limit = f"the answer holds more than {self._max_numbers} numbers"
                raise TooLarge(f"{limit}; send fewer pictures, or ask for 'pool'")
            return vectors

        return pictures.shape(self._images.run(pictures, read))
