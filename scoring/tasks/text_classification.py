"""Text classification, with one label a text or several.

Request: {"inputs": item | [item, ...], "parameters": {"top_k", "function_to_apply",
"return_all_scores", "truncation", "max_length", "padding"}}; an item is a text or a pair: {"text",
"text_pair"}.

Answer, as transformers' pipeline shapes it:
- the best label of each item: {"label", "score"}; for one text, but not for one object, in a list;
- with top_k (null: all), a list of labels for each item, best first;
- with return_all_scores, the older form, all labels in their own order; for one text in a list.

Settings besides those of every text task: `problem_type` (see labels.default_function) and `top_k`,
the default of the parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import JSON, TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.labels import FUNCTIONS, PROBLEMS, Labels, default_function
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import TRUNCATION, TextRunner, read_text_or_pair
from onnxferry.scoring.validation import Parameter

_UNSET = object()  # top_k was not sent; null means all

SETTINGS = {
    **settings.TEXT,
    "problem_type": Parameter(validation.one_of(*PROBLEMS)),
    "top_k": Parameter(validation.positive_or_null, _UNSET, null=True),
}


class TextClassification:
    """A Task; see the module."""

    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._labels = Labels(spec.labels, runner)
        self._text = TextRunner.load(spec, runner, folder, values)
        function = default_function(values["problem_type"], len(self._labels))
        self._parameters = {
            **TRUNCATION,
            "top_k": Parameter(validation.positive_or_null, values["top_k"], null=True),
            "return_all_scores": Parameter(validation.flag),
            "function_to_apply": Parameter(validation.one_of(*FUNCTIONS), function),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload, read_text_or_pair)
        options = validation.parameters(texts.body, self._parameters)
        function = FUNCTIONS[options["function_to_apply"]]
        rows = self._text.run(texts, options, lambda row, _: function(self._labels.logits(row)))
        answers = self._answers(rows, options)
        one_text = isinstance(texts.body[texts.key], str) and options["top_k"] is _UNSET
        return answers if one_text else texts.shape(answers)

    def _answers(self, rows: list[Array], options: Mapping[str, Any]) -> list[Any]:
        if options["top_k"] is not _UNSET:
            return [self._labels.top(row, options["top_k"]) for row in rows]
        shape = self._labels.all if options["return_all_scores"] else self._labels.best
        return [shape(row) for row in rows]
