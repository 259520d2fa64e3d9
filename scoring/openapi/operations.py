"""The operation of an OpenAPI document that scores: its body, its answer and its refusals, typed by
the model's task, with the golden request as an example that runs as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnxferry.scoring import codecs
from onnxferry.scoring.classify import PARAMETER
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.openapi import schemas
from onnxferry.scoring.openapi.schemas import Schema
from onnxferry.scoring.rows import Kind
from onnxferry.scoring.wire import JSON

OCTETS = "application/octet-stream"
BINARY: Schema = {"type": "string", "format": "binary"}
STATUSES: Mapping[int, str] = {  # that scoring itself answers
    400: "The request cannot be scored; the message says why",
    406: "The answer has no form that Accept allows",
    413: "More than a limit of the model",
    415: "A media type, charset or encoding that is not taken",
    500: "A defect; the server's log has the cause",
}


_URLS: Mapping[int, str] = {  # of a picture that a request names by URL
    403: "Pictures are not fetched by URL, or not from that host",
    424: "The URL's host gave no picture in time",
}
_PREDICTIONS: Kind = [{"label": "string", "score": "double"}]
_CLASSIFIED: Schema = schemas.of(
    {
        "created": "string",
        "prediction": "string",
        "confidence": "double",
        "latency": "double",
        "predictions": _PREDICTIONS,
        "model": "string",
    }
)


def score(spec: ModelSpec, name: str, statuses: Mapping[int, str]) -> dict[str, Any]:
    """The operation that scores by `spec`, which the host calls `name`; `statuses` are its
    refusals."""
    request = {"required": True, "content": body(spec)}
    others = [media_type for media_type in codecs.ENCODERS if media_type != JSON]
    answers = {"200": content(schemas.answer(spec), "The answer", others)}
    about = {"summary": f"{spec.task} by {name}", "tags": [name], "requestBody": request}
    return {**about, "responses": {**answers, **errors(refusals(spec, statuses))}}


def classify(spec: ModelSpec, name: str, statuses: Mapping[int, str]) -> dict[str, Any]:
    """The operations of a path that answers as scoring/classify: GET with a picture's URL, POST
    with that or a picture."""
    url = {"type": "string", "format": "uri"}
    parameter = {"name": PARAMETER, "in": "query", "schema": url, "description": "A picture's URL"}
    answer = {"anyOf": [_CLASSIFIED, {"type": "array", "items": _CLASSIFIED}]}
    responses = {"200": content(answer, "The best label"), **errors(refusals(spec, statuses))}
    about = {"summary": f"the best label by {name}", "tags": [name], "responses": responses}
    get = {**about, "parameters": [{**parameter, "required": True}]}
    post = {**about, "parameters": [parameter], "requestBody": {"content": body(spec)}}
    return {"get": get, "post": post}


def refusals(spec: ModelSpec, statuses: Mapping[int, str]) -> Mapping[int, str]:
    """A host's statuses, with those of pictures by URL for a model that takes pictures."""
    return {**statuses, **_URLS} if takes_pictures(spec) else statuses


def body(spec: ModelSpec) -> dict[str, Any]:
    """What a request may hold, by media type."""
    told = media(schemas.request(spec), example(spec))
    return told | {OCTETS: {"schema": BINARY}} if takes_pictures(spec) else told


def takes_pictures(spec: ModelSpec) -> bool:
    """Whether the model takes a picture's bytes as a body."""
    return spec.task.startswith(("image", "object"))


def example(spec: ModelSpec) -> Any:
    """The golden request's JSON data; None where it is no JSON, or there is none."""
    golden = spec.golden
    if golden is None or not golden.request.content_type.startswith(JSON):
        return None
    return json.loads(golden.request.body)


def media(schema: Schema, example: Any = None) -> dict[str, Any]:
    """JSON of a schema as the content of a body, with an example if there is one."""
    told = {} if example is None else {"example": example}
    return {JSON: {"schema": schema, **told}}


def content(schema: Schema, description: str, others: Sequence[str] = ()) -> dict[str, Any]:
    """A response: JSON of a schema, or bytes of one of the media types `others`."""
    binary = {media_type: {"schema": BINARY} for media_type in others}
    return {"description": description, "content": {**media(schema), **binary}}


def errors(statuses: Mapping[int, str], schema: Schema = schemas.ERROR) -> dict[str, Any]:
    """The responses that refuse, by status."""
    return {str(status): content(schema, said) for status, said in statuses.items()}
