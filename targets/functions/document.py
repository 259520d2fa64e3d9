"""The OpenAPI document of the app: its routes, typed by its model, with the golden request as an
example."""

from __future__ import annotations

from typing import Any

from onnxferry.scoring import ModelSpec, openapi
from onnxferry.scoring.classify import TASK
from onnxferry.scoring.manifest import MODEL_FILE
from onnxferry.scoring.openapi.schemas import of

_KEY = {
    "key": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
    "code": {"type": "apiKey", "in": "query", "name": "code"},
}
_REFUSED = {
    401: "No function key, or not one of the app's",
    429: "Too many requests wait in this instance; ask again",
}
_STATE = of({"status": "string"})


def document(spec: ModelSpec, keyed: bool) -> dict[str, Any]:
    """The document; `keyed`: callers need a function key."""
    model = spec.files.get(MODEL_FILE, "").removeprefix("sha256:")
    about = f"Scores by the ONNX model {spec.name}. The examples run as they are."
    info = {"title": spec.name, "version": model[:12] or "unknown", "description": about}
    told = {"openapi": "3.1.0", "info": info, "paths": _paths(spec, keyed)}
    if not keyed:
        return told
    components = {"securitySchemes": _KEY}
    return {**told, "components": components, "security": [{name: []} for name in _KEY]}


def _paths(spec: ModelSpec, keyed: bool) -> dict[str, Any]:
    statuses = {**openapi.STATUSES, 429: _REFUSED[429], **({401: _REFUSED[401]} if keyed else {})}
    found = {"/api/score": {"post": openapi.score(spec, spec.name, statuses)}}
    if spec.task == TASK:
        found["/api/classify"] = openapi.classify(spec, spec.name, statuses)
    found["/api/health"] = {"get": _probe("Whether the process lives", {})}
    loading = {"503": openapi.content(_STATE, "The model is being loaded, or cannot be")}
    found["/api/ready"] = {"get": _probe("Whether the model is loaded", loading)}
    return found


def _probe(summary: str, others: dict[str, Any]) -> dict[str, Any]:
    """Anybody may ask."""
    responses = {"200": openapi.content(_STATE, "It is so"), **others}
    return {"summary": summary, "tags": ["state"], "security": [], "responses": responses}
