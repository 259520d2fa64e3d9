"""The items and the parameters of a request, in whichever of its task's forms it came, so that it
can be sent in the form of another service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnxferry.scoring import validation
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import InvalidValue, UnsupportedMediaType
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.rows import columns
from onnxferry.scoring.tasks import TASKS

Body: TypeAlias = Mapping[str, Any]
_ALIASES = {
    "topk": "top_k",
    "top_n": "top_k",
    "return_text": "return_documents",
    "multi_class": "multi_label",
}
_NESTED = ("tokenize_kwargs", "tokenizer_kwargs")
_IDLE = "padding"  # changes no answer


@dataclass(frozen=True)
class Asked:
    """A request's items, whether a list came, and its parameters, each by its first name."""

    items: Sequence[Any]
    many: bool
    parameters: Mapping[str, Any]
    unwrap: Callable[[Any], Any] = lambda answer: answer

    def answers(self, answer: Any) -> Any:
        """The answer to this request as one to a list of its items."""
        return answer if self.many else [self.unwrap(answer)]


def asked(spec: ModelSpec, payload: Any) -> Asked:
    """What `payload`, as codecs decode it, asks of the model. Raises ScoringError where it is none
    of the task's forms."""
    if spec.task not in TASKS:
        return Asked([{"request": _json(payload)}], True, {})
    body = validation.mapping(payload, "the body")
    return _FORMS.get(spec.task, _own)(spec, body)


def _own(spec: ModelSpec, body: Body) -> Asked:
    """{"inputs", "parameters"}, or `sequences` as DeepSparse has it."""
    key = "sequences" if "sequences" in body and "inputs" not in body else "inputs"
    return _of(validation.member(body, key), body.get("parameters"))


def _of(inputs: Any, parameters: Any) -> Asked:
    many = isinstance(inputs, list)
    if inputs == []:
        raise InvalidValue("'inputs' is an empty list; expected at least one item")
    sent = validation.mapping({} if parameters is None else parameters, "'parameters'")
    return Asked(inputs if many else [inputs], many, _first_names(sent))


def _first_names(sent: Body) -> dict[str, Any]:
    """Without those that are null, which is their default."""
    nested = {k: v for name in _NESTED for k, v in (sent.get(name) or {}).items()}
    flat = {**{k: v for k, v in sent.items() if k not in _NESTED}, **nested}
    first = {_ALIASES[name]: value for name, value in flat.items() if name in _ALIASES}
    rest = {k: v for k, v in flat.items() if k not in _ALIASES and k != _IDLE}
    return {name: value for name, value in {**first, **rest}.items() if value is not None}


def _classified(spec: ModelSpec, body: Body) -> Asked:
    """Here null asks for all labels. One text's best label is answered in a list."""
    found, sent = _own(spec, body), body.get("parameters") or {}
    top_k = {"top_k": len(spec.labels)} if sent.get("top_k", 0) is None else {}
    parameters = {**found.parameters, **top_k}
    one_text = not found.many and isinstance(found.items[0], str)
    listed = one_text and "top_k" not in {**spec.settings, **parameters}
    return Asked(found.items, found.many or listed, parameters)


def _questions(spec: ModelSpec, body: Body) -> Asked:
    """Also {"question", "context"} without `inputs`, and lists of both."""
    bare = "inputs" not in body and bool({"question", "context"} & set(body))
    inputs = body if bare else validation.member(body, "inputs")
    if isinstance(inputs, dict) and isinstance(inputs.get("question"), list):
        questions, sent = inputs["question"], validation.member(inputs, "context")
        contexts = sent if isinstance(sent, list) else [sent] * len(questions)
        contexts = contexts * len(questions) if len(contexts) == 1 else contexts
        if len(contexts) != len(questions):
            raise InvalidValue("'question' and 'context' have different numbers of items")
        pairs = zip(questions, contexts, strict=True)
        inputs = [{"question": question, "context": context} for question, context in pairs]
    return _of(inputs, body.get("parameters"))


def _ranked(spec: ModelSpec, body: Body) -> Asked:
    """Also the forms of Text Embeddings Inference and of Cohere."""
    if "inputs" in body or "query" not in body:
        return _own(spec, body)
    texts = "texts" if "texts" in body else "documents"
    item = {"query": body["query"], "documents": validation.member(body, texts)}
    rest = {k: v for k, v in body.items() if k not in ("query", texts, "model")}
    raw, cut = rest.pop("raw_scores", False), rest.pop("truncate", None)
    own = {"function_to_apply": "none" if raw else "sigmoid", "truncation": cut}
    found = _of(item, {**rest, **own})
    return found if texts == "texts" else Asked(found.items, False, found.parameters, _results)


def _results(answer: Any) -> Any:
    """Cohere's entries as the others are."""
    return [
        {"index": entry["index"], "score": entry["relevance_score"], **entry.get("document", {})}
        for entry in answer["results"]
    ]


def _zero_shot(spec: ModelSpec, body: Body) -> Asked:
    """Also DeepSparse's, with the parameters beside the texts."""
    names = ("candidate_labels", "hypothesis_template", "multi_label", "multi_class")
    beside = {name: body[name] for name in names if name in body}
    if "labels" in body:
        beside["candidate_labels"] = body["labels"]
    return _own(spec, {**body, "parameters": {**beside, **(body.get("parameters") or {})}})


def _arrays(spec: ModelSpec, body: Body) -> Asked:
    """The rows of the arrays where rows can share a run, else the arrays as one item; of a graph
    with one input also the array without its name."""
    inputs = validation.member(body, "inputs")
    named = inputs if isinstance(inputs, dict) else {t.name: inputs for t in spec.inputs[:1]}
    parameters = _first_names(body.get("parameters") or {})
    if columns(spec).alone:
        return Asked([named], True, parameters)
    try:
        rows = [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
    except (TypeError, ValueError) as e:
        raise InvalidValue("'inputs' must hold arrays with as many rows each") from e
    return Asked(rows, True, parameters)


def _json(payload: Any) -> str:
    """A payload of a user's own task, which MLflow and tables hold as JSON."""
    try:
        return encode_json(payload).decode("utf-8")
    except TypeError as e:
        raise UnsupportedMediaType("the body is no JSON; a row holds a request in JSON") from e


_FORMS: dict[str, Callable[[ModelSpec, Body], Asked]] = {
    "question-answering": _questions,
    "tensors": _arrays,
    "text-classification": _classified,
    "text-ranking": _ranked,
    "zero-shot-classification": _zero_shot,
}
