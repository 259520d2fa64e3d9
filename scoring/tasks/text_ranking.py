"""Text ranking by a cross-encoder: documents in the order in which they answer a query.

Three forms of request, each answered in the form of those who send it:

- {"inputs": {"query", "documents": [text, ...]}, "parameters": {"top_k", "return_documents",
  "function_to_apply", "truncation", "max_length", "padding"}}, or a list of such inputs. Answer, a
  list for a list: [{"index", "score", "text"?}, ...], best first, the scores of sentence-
  transformers' CrossEncoder.
- Text Embeddings Inference's /rerank, {"query", "texts", "raw_scores", "return_text", "truncate"}:
  the same entries with scores from 0 to 1, unless raw_scores asks for the logits.
- Cohere's rerank, {"query", "documents", "top_n", "return_documents", "model"}, where a document
  may be {"text"}: {"results": [{"index", "relevance_score", "document"?}, ...]}, from 0 to 1.

`texts` and `documents`, `return_text` and `return_documents`, `top_n` and `top_k` are one in
`inputs` and `parameters`. Settings besides those of every text task: `function_to_apply`, the
default of the parameter: "sigmoid", or "none" where the model was trained to give scores of any
size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InternalError, InvalidValue, MissingField
from onnxferry.scoring.labels import FUNCTIONS, logits_output
from onnxferry.scoring.limits import check_sequences
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import TRUNCATION, TextRunner, Texts
from onnxferry.scoring.validation import Parameter

DOCUMENTS = ("documents", "texts")
ACTIVATIONS = ("sigmoid", "none")
SETTINGS = {
    **settings.TEXT,
    "function_to_apply": Parameter(validation.one_of(*ACTIVATIONS), "sigmoid"),
}
_TEI = {
    "raw_scores": Parameter(validation.flag, False),
    "return_text": Parameter(validation.flag, False),
    "truncate": Parameter(validation.flag, True),
    "truncation_direction": Parameter(validation.one_of("right")),
}
_COHERE = {
    "top_n": Parameter(validation.positive),
    "return_documents": Parameter(validation.flag, False),
    "model": Parameter(validation.string),  # clients send its name, which the host knows
}


@dataclass(frozen=True)
class _Query:
    """A query with its documents. `where`: the field that holds the documents."""

    text: str
    documents: Sequence[str]
    where: str


@dataclass(frozen=True)
class _Request:
    """The queries of a body, whether a list came, and how they are ranked: `function` of FUNCTIONS,
    the best `top_k` (None: all), `truncation` as in text_runner.TRUNCATION."""

    queries: Sequence[_Query]
    many: bool
    function: str
    top_k: int | None
    truncation: Mapping[str, Any]
    entry: Callable[[int, float, str], dict[str, Any]]


class TextRanking:
    """A Task; see the module."""

    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._output = logits_output(runner)
        *_, size = runner.outputs[self._output].shape or ("?",)
        if isinstance(size, int) and size != 1:
            raise ValueError(f"text-ranking needs a graph with one score a pair, not {size}")
        self._parameters = {
            **TRUNCATION,
            "top_k": Parameter(validation.positive),
            "top_n": Parameter(validation.positive),
            "return_documents": Parameter(validation.flag, False),
            "return_text": Parameter(validation.flag, False),
            "function_to_apply": Parameter(
                validation.one_of(*ACTIVATIONS), values["function_to_apply"]
            ),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        body = validation.mapping(payload, "the body")
        if "inputs" in body or "query" not in body:
            request = self._own(body)
            answers = self._ranked(request)
            return answers if request.many else answers[0]
        if "texts" in body:
            return self._ranked(self._tei(body))[0]
        return {"results": self._ranked(self._cohere(body))[0]}

    def _own(self, body: Mapping[str, Any]) -> _Request:
        value = validation.member(body, "inputs")
        queries, many = validation.uncounted(value, self._query, self._text.limits.items, "inputs")
        options = validation.parameters(body, self._parameters)
        texts = options["return_documents"] or options["return_text"]
        top_k = options["top_k"] or options["top_n"]
        truncation = {name: options[name] for name in TRUNCATION}
        entry = _with_text if texts else _entry
        return _Request(queries, many, options["function_to_apply"], top_k, truncation, entry)

    def _tei(self, body: Mapping[str, Any]) -> _Request:
        query, options = self._query(body, ""), _fields(body, "texts", _TEI)
        function = "none" if options["raw_scores"] else "sigmoid"
        entry = _with_text if options["return_text"] else _entry
        return _Request([query], False, function, None, {"truncation": options["truncate"]}, entry)

    def _cohere(self, body: Mapping[str, Any]) -> _Request:
        query, options = self._query(body, ""), _fields(body, "documents", _COHERE)
        entry = _with_document if options["return_documents"] else _relevance
        return _Request([query], False, "sigmoid", options["top_n"], {}, entry)

    def _query(self, value: object, where: str) -> _Query:
        """`where`: the field that holds them, "" for the body itself."""
        data = validation.mapping(value, f"'{where}'" if where else "the body")
        prefix = f"{where}." if where else ""
        query = validation.text(validation.member(data, "query", prefix), f"{prefix}query")
        key = next((name for name in DOCUMENTS if name in data), None)
        if key is None:
            raise MissingField(f"'{prefix}documents' is missing; give the texts to rank as a list")
        documents = data[key]
        if not isinstance(documents, list):
            documents = [validation.text(documents, f"{prefix}{key}")]
        limit = self._text.limits.items
        texts, _ = validation.uncounted(documents, _document, limit, f"{prefix}{key}")
        return _Query(query, texts, f"{prefix}{key}")

    def _ranked(self, request: _Request) -> list[list[dict[str, Any]]]:
        """The answer to each query."""
        count = sum(len(query.documents) for query in request.queries)
        check_sequences(
            count, f"{len(request.queries)} queries have {count} documents", "send fewer"
        )
        timing.count(items=count)
        return [self._best(query, request) for query in request.queries]

    def _best(self, query: _Query, request: _Request) -> list[dict[str, Any]]:
        pairs = Texts([(query.text, text) for text in query.documents], True, query.where)
        logits = np.array(self._text.run(pairs, request.truncation, self._logit), np.float32)
        scores = FUNCTIONS[request.function](logits)
        order = np.argsort(-logits, kind="stable")[: request.top_k]
        return [request.entry(int(i), float(scores[i]), query.documents[i]) for i in order]

    def _logit(self, row: Sequence[Array], _: Any) -> float:
        if (logits := row[self._output]).size != 1:
            shape = list(logits.shape)
            raise InternalError(f"the model gave scores of shape {shape} for one pair of texts")
        return float(logits.reshape(()))


def _document(value: object, where: str) -> str:
    """A text, or, as Cohere's clients send it, {"text"}."""
    if isinstance(value, dict):
        return validation.text(validation.member(value, "text", f"{where}."), f"{where}.text")
    return validation.text(value, where)


def _fields(body: Mapping[str, Any], key: str, known: Mapping[str, Parameter]) -> Mapping[str, Any]:
    """Those of `known` in a body that holds the texts in `key`."""
    if unknown := sorted(set(body) - {"query", key, *known}):
        named = ", ".join(repr(name[:40]) for name in unknown[:5])
        listed = ", ".join(("query", key, *known))
        raise InvalidValue(f"unknown field(s) {named} beside 'query'; known: {listed}")
    return {name: parameter.take(body, name) for name, parameter in known.items()}


def _entry(index: int, score: float, text: str) -> dict[str, Any]:
    return {"index": index, "score": score}


def _with_text(index: int, score: float, text: str) -> dict[str, Any]:
    return {"index": index, "score": score, "text": text}


def _relevance(index: int, score: float, text: str) -> dict[str, Any]:
    return {"index": index, "relevance_score": score}


def _with_document(index: int, score: float, text: str) -> dict[str, Any]:
    return {**_relevance(index, score, text), "document": {"text": text}}
