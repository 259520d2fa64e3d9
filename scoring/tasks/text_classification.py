"""Text classification, with one label a text or several.

Request: {"inputs": text | [text, ...], "parameters": {"top_k", "function_to_apply"}}; "sequences" is read as inputs.
Answer, as transformers' text-classification pipeline shapes it:
- single label: [{"label", "score"}] for one text or [{"label", "score"}, ...] for a list, the best label of each;
- with top_k (null: all), and always for a multi-label model (default: all): the labels of each text, best first:
  [{...}, ...] for one text, [[{...}, ...], ...] for a list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoring import fields
from scoring.batching import TextModel
from scoring.contract import JSON, TOKENIZER_FILE, ModelSpec
from scoring.engine import Session
from scoring.labels import FUNCTIONS, Labels
from scoring.tokenization import Tokenizer

_UNSET = object()  # top_k was not given, which for a pipeline is not the same as null


DEFAULT_FUNCTION = {
    "multi_label_classification": "sigmoid",
    "single_label_classification": "softmax",
    "regression": "none",
}


class TextClassification:
    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, session: Session, folder: Path) -> None:
        settings = spec.settings
        self._labels, self._limit = Labels(spec.labels, session), spec.limits.items
        self._tokenizer = Tokenizer(folder / TOKENIZER_FILE, settings["max_length"])
        self._model = TextModel(session, settings.get("pad_token_id", 0), settings.get("pad_token_type_id", 0))
        problem = settings.get("problem_type") or "single_label_classification"
        self._multi = problem == "multi_label_classification"
        self._parameters = {
            "top_k": fields.Parameter(fields.positive_or_null, None if self._multi else _UNSET),
            "function_to_apply": fields.Parameter(
                fields.one_of(*FUNCTIONS), "sigmoid" if len(self._labels) == 1 else DEFAULT_FUNCTION[problem]
            ),
        }

    def answer(self, payload: Any) -> Any:
        data = fields.mapping(payload, "the body")
        key = "sequences" if "sequences" in data and "inputs" not in data else "inputs"
        texts, many = fields.one_or_list(fields.member(data, key), fields.text, self._limit, key)
        options = fields.parameters(data, self._parameters)
        function = FUNCTIONS[options["function_to_apply"]]
        rows = self._model.run(self._tokenizer.encode(texts), lambda row, _: function(row[0]))
        if options["top_k"] is _UNSET:
            return [self._labels.rank(row, 1)[0] for row in rows]
        answers = [self._labels.rank(row, options["top_k"]) for row in rows]
        return answers if many else answers[0]
