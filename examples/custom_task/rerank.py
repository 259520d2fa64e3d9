"""A task of one's own: documents in the order in which they answer a query, by a cross-encoder.

Request: {"inputs": {"query": text, "documents": [text, ...]}, "parameters": {"top_k"}}. Answer:
[{"index", "score"}, ...], best first: the document's place in the request, and a score from 0 to 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.engine import Runner
from onnxferry.scoring.labels import logits_output, sigmoid
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import custom
from onnxferry.scoring.text_runner import TextRunner, Texts
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

SETTINGS = {**settings.TEXT, **custom.SETTINGS}


class Rerank:
    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        self._text = TextRunner.load(spec, runner, folder, settings.read(spec.settings, SETTINGS))
        self._logits = logits_output(runner)
        self._parameters = {"top_k": Parameter(validation.positive)}

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        inputs = validation.mapping(validation.member(data, "inputs"), "'inputs'")
        query = validation.text(validation.member(inputs, "query", "inputs."), "inputs.query")
        documents, _ = validation.one_or_list(
            validation.member(inputs, "documents", "inputs."),
            validation.text,
            self._text.limits.items,
            "inputs.documents",
        )
        options = validation.parameters(data, self._parameters)
        pairs = Texts([(query, document) for document in documents], True, "inputs.documents")
        scores = self._text.run(pairs, {}, lambda row, _: float(sigmoid(row[self._logits])[0]))
        ranked = sorted(enumerate(scores), key=lambda entry: -entry[1])
        return [{"index": index, "score": score} for index, score in ranked[: options["top_k"]]]
