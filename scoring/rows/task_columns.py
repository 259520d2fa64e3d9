"""Each task's columns: one row a task. Where an item may have several answers, the best is in
columns of its own, and all of them are in one more, where parameters or settings ask for more than
one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias

from onnxferry.scoring.codecs import Image, encode_json
from onnxferry.scoring.errors import InvalidBody, InvalidType
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.rows.columns import Cells, Column, Columns, Kind, listed
from onnxferry.scoring.rows.tensor_columns import tensor_columns
from onnxferry.scoring.validation import kind

Values: TypeAlias = Mapping[str, Any]  # settings, and over them a request's parameters


def columns(spec: ModelSpec, parameters: Values | None = None) -> Columns:
    """The columns of the task of `spec`, where `parameters` go with every row."""
    if spec.task == "tensors":
        return tensor_columns(spec, parameters or {})
    task = _TASKS.get(spec.task, _CUSTOM)
    outputs = task.outputs(spec, {**spec.settings, **(parameters or {})})
    return Columns(
        task.inputs,
        outputs,
        task.parameters,
        task.item,
        lambda answer: task.cells(answer, outputs),
        task.payload,
        task.answers,
        task.alone,
    )


def _as_is(cells: Cells) -> Any:
    return dict(cells)


def _text(cells: Cells) -> Any:
    """The text alone, or with its pair."""
    return dict(cells) if "text_pair" in cells else cells.get("text")


def _image(cells: Cells) -> Any:
    """The picture's bytes, as they are or beside its path, as data sets have them in Parquet, or a
    text in base64."""
    image = cells.get("image")
    image = image["bytes"] if isinstance(image, dict) and "bytes" in image else image
    return Image(bytes(image)) if isinstance(image, bytes | bytearray | memoryview) else image


def _several(answer: Any, outputs: Mapping[str, Kind]) -> Cells:
    """The best answer, and all of them in the column that is a list, if there is one."""
    best, every = (answer[0], answer) if isinstance(answer, list) else (answer, [answer])
    return {name: every if isinstance(kind, list) else best[name] for name, kind in outputs.items()}


def _labelled(answer: Any, outputs: Mapping[str, Kind]) -> Cells:
    """As `_several`, also of return_all_scores, whose labels are in their own order."""
    cells = _several(answer, outputs)
    best = max(cells["labels"], key=itemgetter("score")) if "labels" in cells else {}
    return {**cells, **best}


def _whole(answer: Any, outputs: Mapping[str, Kind]) -> Cells:
    """The answer in the one column."""
    return dict.fromkeys(outputs, answer)


def _masks(answer: Any, outputs: Mapping[str, Kind]) -> Cells:
    """A list of answers for each mask, also where there is one."""
    nested = answer if isinstance(answer[0], list) else [answer]
    return _whole(nested, outputs)


def _labels_and_scores(answer: Any, outputs: Mapping[str, Kind]) -> Cells:
    labels, scores = answer["labels"], answer["scores"]
    return {"label": labels[0], "score": scores[0], "labels": labels, "scores": scores}


def _inputs(items: Sequence[Any], parameters: Values) -> Any:
    return {"inputs": list(items), "parameters": parameters}


@dataclass(frozen=True)
class _Task:
    inputs: tuple[Column, ...]
    outputs: Callable[[ModelSpec, Values], Mapping[str, Kind]]
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    item: Callable[[Cells], Any] = _as_is
    cells: Callable[[Any, Mapping[str, Kind]], Cells] = _whole
    payload: Callable[[Sequence[Any], Values], Any] = _inputs
    answers: Callable[[Any], list[Any]] = list
    alone: bool = False


def _best_and(name: str, best: dict[str, Kind], default: int | None = 1) -> Any:
    """`best`, and where more than one is asked for a list of them as `name`."""

    def outputs(spec: ModelSpec, values: Values) -> Mapping[str, Kind]:
        many = values.get("top_k", default) != 1 or values.get("return_all_scores")
        return {**best, name: [best]} if many else best

    return outputs


def _entities(spec: ModelSpec, values: Values) -> Mapping[str, Kind]:
    strategy = values.get("aggregation_strategy") or "none"
    if (grouped := values.get("grouped_entities")) is not None:
        strategy = "simple" if grouped else "none"
    place: dict[str, Kind] = {"word": "string", "start": "long", "end": "long"}
    if strategy == "none":
        return {"entities": [{"entity": "string", "score": "double", "index": "long", **place}]}
    return {"entities": [{"entity_group": "string", "score": "double", **place}]}


def _embedding(spec: ModelSpec, values: Values) -> Mapping[str, Kind]:
    """One vector, or one a token; without `pooling` as the graph gives it."""
    own = any(t.name == "sentence_embedding" or len(t.shape) == 2 for t in spec.outputs)
    default = "sentence_embedding" if own else "none"
    pooled = (values.get("pooling") or default) not in ("none", ["none"])
    return {"embedding": ["float"] if pooled else [[["float"]]]}


def _features(spec: ModelSpec, values: Values) -> Mapping[str, Kind]:
    return {"features": [["float"]] if values.get("pool") else [[["float"]]]}


def _ranking(spec: ModelSpec, values: Values) -> Mapping[str, Kind]:
    text: dict[str, Kind] = {"text": "string"} if values.get("return_documents") else {}
    return {"ranking": [{"index": "long", "score": "double", **text}]}


_TEXT = Column("text", "string", aliases=("inputs", "sequence"))
_PAIR = Column("text_pair", "string", required=False)
_IMAGE = Column("image", "binary", aliases=("inputs",))
_LABEL: dict[str, Kind] = {"label": "string", "score": "double"}
_ANSWER: dict[str, Kind] = {"answer": "string", "score": "double", "start": "long", "end": "long"}
_TOKEN: dict[str, Kind] = {"score": "double", "token": "long", "token_str": "string"}
_CORNERS: dict[str, Kind] = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "long")
_CUT: dict[str, Kind] = {
    "truncation": "boolean",
    "max_length": "long",
    "truncation_direction": "string",
}
_EMBEDDING: dict[str, Kind] = {
    **_CUT,
    "pooling": "string",
    "normalize": "boolean",
    "dimensions": "long",
    "prompt_name": "string",
    "prompt": "string",
}
_TASKS: dict[str, _Task] = {
    "feature-extraction": _Task((_TEXT,), _embedding, _EMBEDDING, _text),
    "fill-mask": _Task(
        (_TEXT,),
        lambda spec, values: {"masks": [[{**_TOKEN, "sequence": "string"}]]},
        {**_CUT, "top_k": "long", "targets": ["string"]},
        _text,
        _masks,
    ),
    "image-classification": _Task(
        (_IMAGE,),
        _best_and("labels", _LABEL, default=5),
        {"top_k": "long", "function_to_apply": "string"},
        _image,
        _labelled,
    ),
    "image-feature-extraction": _Task((_IMAGE,), _features, {"pool": "boolean"}, _image),
    "object-detection": _Task(
        (_IMAGE,),
        lambda spec, values: {"objects": [{**_LABEL, "box": _CORNERS}]},
        {"threshold": "double"},
        _image,
    ),
    "question-answering": _Task(
        (Column("question", "string"), Column("context", "string", aliases=("text",))),
        _best_and("answers", _ANSWER),
        {
            **dict.fromkeys(("top_k", "max_answer_len", "max_seq_len"), "long"),
            **dict.fromkeys(("max_question_len", "doc_stride"), "long"),
            **dict.fromkeys(("handle_impossible_answer", "align_to_words"), "boolean"),
            "null_score_diff_threshold": "double",
            "score": "string",
        },
        cells=_several,
    ),
    "sentence-similarity": _Task(
        (Column("source_sentence", "string"), Column("sentences", ["string"])),
        lambda spec, values: {"scores": ["double"]},
        _EMBEDDING,
        listed,
    ),
    "text-classification": _Task(
        (_TEXT, _PAIR),
        _best_and("labels", _LABEL),
        {**_CUT, "top_k": "long", "return_all_scores": "boolean", "function_to_apply": "string"},
        _text,
        _labelled,
    ),
    "text-ranking": _Task(
        (Column("query", "string"), Column("documents", ["string"], aliases=("texts",))),
        _ranking,
        {**_CUT, "top_k": "long", "return_documents": "boolean", "function_to_apply": "string"},
        listed,
    ),
    "token-classification": _Task(
        (_TEXT,),
        _entities,
        {
            "aggregation_strategy": "string",
            "grouped_entities": "boolean",
            "ignore_subwords": "boolean",
            "ignore_labels": ["string"],
            "stride": "long",
        },
        _text,
    ),
    "zero-shot-classification": _Task(
        (_TEXT,),
        lambda spec, values: {**_LABEL, "labels": ["string"], "scores": ["double"]},
        {"candidate_labels": ["string"], "hypothesis_template": "string", "multi_label": "boolean"},
        _text,
        _labels_and_scores,
    ),
}


def _request(cells: Cells) -> Any:
    """The request of a user's own task, in JSON."""
    text = cells.get("request")
    if not isinstance(text, str):
        raise InvalidType(f"'request' must be a string of JSON, got {kind(text)}")
    try:
        return json.loads(text)
    except ValueError as e:
        raise InvalidBody(f"'request' is not JSON: {e}") from e


_CUSTOM = _Task(  # no more is known of a user's own task than that it takes and gives JSON
    (Column("request", "string"),),
    lambda spec, values: {"answer": "string"},
    cells=lambda answer, outputs: {"answer": encode_json(answer).decode("utf-8")},
    item=_as_is,
    payload=lambda items, parameters: _request(items[0]),
    answers=lambda answer: [answer],
    alone=True,
)
