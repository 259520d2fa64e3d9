"""JSON schemas of requests and answers, made from a task's columns (see scoring/rows)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.rows import Columns, Kind, columns
from onnxferry.scoring.tasks import TASKS

Schema = dict[str, Any]
_SCALARS: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "double": {"type": "number"},
    "float": {"type": "number"},
    "long": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "binary": {"type": "string", "description": "base64"},
}
_NOT_ALWAYS = ("entity", "entity_group", "index", "text", "document", "start", "end")
_ELEMENTS: Mapping[str, Kind] = {  # the tasks whose answers differ from their columns
    "zero-shot-classification": {"sequence": "string", "labels": ["string"], "scores": ["double"]},
    "sentence-similarity": "double",
    "text-ranking": {"index": "long", "score": "double", "text": "string"},
}
NUMBERS: Schema = {"anyOf": [{"type": ["number", "boolean", "string"]}, {"type": "array"}]}
_COHERE: Kind = {
    "results": [{"index": "long", "relevance_score": "double", "document": {"text": "string"}}]
}


def of(kind: Kind) -> Schema:
    """The schema of a kind."""
    if isinstance(kind, str):
        return dict(_SCALARS[kind])
    if isinstance(kind, list):
        return {"type": "array", "items": of(kind[0])}
    fields = {name: of(value) for name, value in kind.items()}
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in _NOT_ALWAYS],
    }


def nested(element: Schema, depth: int = 3) -> Schema:
    """An element, or lists of it."""
    if not depth:
        return element
    return {"anyOf": [element, {"type": "array", "items": nested(element, depth - 1)}]}


def found(spec: ModelSpec) -> Columns | None:
    """The columns; None where nothing is known of a task's bodies but that they are JSON."""
    try:
        return columns(spec) if spec.task in TASKS else None
    except ModelError:
        return None


def item(spec: ModelSpec) -> Schema:
    """One of `inputs`."""
    if spec.task == "tensors" or (told := found(spec)) is None:
        return {}
    fields: Schema = {
        "type": "object",
        "properties": {column.name: of(column.kind) for column in told.inputs},
        "required": [column.name for column in told.inputs if column.required],
    }
    if len(fields["required"]) > 1:
        return fields
    alone = of(told.inputs[0].kind)
    return {"anyOf": [alone, fields]} if len(told.inputs) > 1 else alone


def parameters(spec: ModelSpec) -> Schema:
    """A request's `parameters`."""
    told = found(spec)
    if told is None:
        return {"type": "object"}
    known = {
        name: {"anyOf": [of(kind), {"type": "null"}]} for name, kind in told.parameters.items()
    }
    return {"type": "object", "properties": known}


def request(spec: ModelSpec) -> Schema:
    """A body of the pipelines' form."""
    if spec.task == "tensors":
        names = [tensor.name for tensor in spec.inputs]
        inputs: Schema = {
            "type": "object",
            "properties": dict.fromkeys(names, NUMBERS),
            "required": names,
        }
    elif found(spec) is None:
        return {}
    else:
        inputs = {"anyOf": [item(spec), {"type": "array", "items": item(spec), "minItems": 1}]}
    fields = {"inputs": inputs, "parameters": parameters(spec)}
    return {"type": "object", "properties": fields, "required": ["inputs"]}


def answer(spec: ModelSpec) -> Schema:
    """The answer to that."""
    if spec.task == "tensors":
        return {"type": "object", "additionalProperties": NUMBERS}
    if (told := found(spec)) is None:
        return {}
    if spec.task == "text-ranking":
        return {"anyOf": [nested(of(_ELEMENTS[spec.task])), of(_COHERE)]}
    return nested(of(_ELEMENTS.get(spec.task) or _element(told)), 4)


def _element(told: Columns) -> Kind:
    """What the answers are lists of: the columns of the best one, or what the only column holds."""
    kinds = list(told.outputs.values())
    if len(kinds) == 1:
        return _innermost(kinds[0])
    return {name: kind for name, kind in told.outputs.items() if not isinstance(kind, list)}


def _innermost(kind: Kind) -> Kind:
    return _innermost(kind[0]) if isinstance(kind, list) else kind


ERROR: Schema = of({"error": {"code": "string", "message": "string"}})
"""Of whatever is refused."""
