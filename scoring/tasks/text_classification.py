"""Text classification, with one label a text or several.

Request: {"inputs": item | [item, ...], "parameters": {"top_k", "function_to_apply",
"return_all_scores", "truncation",
"max_length", "padding"}}; an item is a text or a pair: {"text", "text_pair"}. "sequences" is read
as inputs.
Answer, as transformers' text-classification pipeline shapes it:
- the best label of each item: {"label", "score"}; for one text, but not for one object, in a list;
- with top_k (null: all), the labels of each item, best first: [{...}, ...], for a list [[{...},
  ...], ...];
- with return_all_scores, the older form, all labels in their own order; for one text again in a
  list.

Settings besides those of every text task: `problem_type` (the default of function_to_apply: softmax
for single_label_classification, sigmoid for multi_label_classification or one label, none for
regression) and `top_k` (null or a number: what a request without it gets).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.labels import FUNCTIONS, Labels
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import CUTTING, Encoder, read_text_or_pair, read_texts
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

_UNSET = object()  # top_k was not given, which for a pipeline is not the same as null

DEFAULT_FUNCTION = {
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
    "regression": "none",
}
SETTINGS = {
    **settings.TEXT,
    "problem_type": Parameter(validation.one_of(*DEFAULT_FUNCTION)),
    "top_k": Parameter(validation.positive_or_null, _UNSET, null=True),
}


def default_function(problem: str | None, labels: int) -> str:
    """The pipeline's choice of the function that makes scores of logits."""
    if labels == 1 and problem != "regression":
        return "sigmoid"
    return DEFAULT_FUNCTION[problem or "single_label_classification"]


class TextClassification:
    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = settings.read(spec.settings, SETTINGS)
        self._labels = Labels(spec.labels, runner)
        self._encoder = Encoder.load(spec, runner, folder, own)
        self._parameters = {
            **CUTTING,
            "top_k": Parameter(validation.positive_or_null, own["top_k"], null=True),
            "return_all_scores": Parameter(validation.flag),
            "function_to_apply": Parameter(
                validation.one_of(*FUNCTIONS),
                default_function(own["problem_type"], len(self._labels)),
            ),
        }

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        texts = read_texts(data, self._encoder.limits.items, read_text_or_pair)
        options = validation.parameters(data, self._parameters)
        function = FUNCTIONS[options["function_to_apply"]]
        rows = self._encoder.run(texts, options, lambda row, _: function(self._labels.logits(row)))
        answers = self._answers(rows, options)
        one_text = isinstance(data[texts.key], str) and options["top_k"] is _UNSET
        return answers if one_text else texts.shape(answers)

    def _answers(self, rows: list[Array], options: Mapping[str, Any]) -> list[Any]:
        if options["top_k"] is not _UNSET:
            return [self._labels.rank(row, options["top_k"]) for row in rows]
        name = self._labels.name if options["return_all_scores"] else self._labels.best
        return [name(row) for row in rows]
