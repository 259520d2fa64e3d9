"""Image classification.

Request: the bytes of one image as the body, or {"inputs": base64 | [base64, ...], "parameters":
{"top_k", "function_to_apply"}}. Answer, as transformers' pipeline gives it: the top_k labels, best
first, [{"label", "score"}, ...]; a list for a list.

Settings: those of scoring/images.py, `top_k` (null: all), and `problem_type`, which tells the
default of function_to_apply (see labels.default_function).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.scoring import images, settings, validation
from onnxferry.scoring.codecs import IMAGES, JSON
from onnxferry.scoring.engine import Runner
from onnxferry.scoring.image_runner import ImageRunner
from onnxferry.scoring.labels import FUNCTIONS, PROBLEMS, Labels, default_function
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

SETTINGS = {
    **images.SETTINGS,
    "top_k": Parameter(validation.positive_or_null, 5, null=True),
    "problem_type": Parameter(validation.one_of(*PROBLEMS)),
}


class ImageClassification:
    """A Task; see the module."""

    accepts = (JSON, *IMAGES)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._images = ImageRunner.load(spec, runner, values)
        self._labels = Labels(spec.labels, runner)
        function = default_function(values["problem_type"], len(self._labels))
        self._parameters = {
            "top_k": Parameter(validation.positive, values["top_k"]),
            "function_to_apply": Parameter(validation.one_of(*FUNCTIONS), function),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        pictures = self._images.read(payload)
        options = validation.parameters(pictures.body, self._parameters)
        function = FUNCTIONS[options["function_to_apply"]]
        rows = self._images.run(pictures, lambda row, _: function(self._labels.logits(row)))
        return pictures.shape([self._labels.top(row, options["top_k"]) for row in rows])
