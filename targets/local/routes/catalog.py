"""GET /models: what is served, for people, for the page at / and for scripts. A model's entry holds
its paths, its columns (see scoring/rows), its limits and its golden request as an example."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.rows import columns
from onnxferry.scoring.wire import JSON
from onnxferry.targets.local.backend import Served
from onnxferry.targets.local.exchange import Exchange

EMBEDS = ("feature-extraction", "sentence-similarity")  # tasks that embed texts
RANKS = ("text-ranking",)
_BY_TASK = {
    **dict.fromkeys(EMBEDS, ("/v1/embeddings",)),
    **dict.fromkeys(RANKS, ("/rerank", "/v1/rerank", "/v2/rerank")),
}


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    async def models() -> dict[str, Any]:
        """The models that this server has, in the order of its configuration."""
        return {"models": [entry(served) for served in exchange.backend.models.values()]}

    app.add_api_route("/models", models, methods=["GET"], tags=["models"])


def entry(served: Served) -> dict[str, Any]:
    """One model's entry. `example` is None where the spec has no golden request."""
    spec = served.spec
    return {
        "name": served.name,
        "task": spec.task,
        "labels": list(spec.labels),
        "precision": spec.precision,
        "cpu": spec.cpu,
        "routes": paths(served),
        **_columns(spec),
        "example": example(spec),
        "limits": asdict(spec.limits),
    }


def paths(served: Served) -> list[str]:
    """Where POST requests reach the model, the usual one first."""
    own = (f"/models/{served.name}/predict", f"/v2/models/{served.name}/infer")
    return [*own, *_BY_TASK.get(served.spec.task, ())]


def example(spec: ModelSpec) -> dict[str, Any] | None:
    """The golden request: {"content_type", "body" (JSON data, text) or "body_base64", "answer"}."""
    if spec.golden is None:
        return None
    request = spec.golden.request
    return {
        "content_type": request.content_type,
        **_body(request.body, request.content_type),
        "answer": spec.golden.answer,
    }


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    try:
        return {"body": json.loads(body) if content_type.startswith(JSON) else body.decode("utf-8")}
    except ValueError:
        return {"body_base64": b64encode(body).decode("ascii")}


def _columns(spec: ModelSpec) -> dict[str, Any]:
    try:
        found = columns(spec)
    except ModelError:  # of task tensors, whose spec may list no arrays
        return {"inputs": [], "outputs": {}, "parameters": {}}
    inputs = [{"name": c.name, "kind": c.kind, "required": c.required} for c in found.inputs]
    return {"inputs": inputs, "outputs": dict(found.outputs), "parameters": dict(found.parameters)}
