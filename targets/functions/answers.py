"""HTTP of the Functions host to the core and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import azure.functions as func

from onnxferry.scoring import JSON, ModelSpec, Request, Response, ScoringError
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.forms import PIPELINE, Form
from onnxferry.scoring.scorer import request_id
from onnxferry.targets.functions.loading import ModelLoading

KEY = "code"  # of a query: the function key, which is nobody's but the host's


def answer(
    model: ModelLoading, req: func.HttpRequest, context: func.Context, form: Form = PIPELINE
) -> func.HttpResponse:
    """Score one request. One without an id of the client's has the invocation's."""
    query = {name: value for name, value in req.params.items() if name != KEY}
    request = Request.of(req.get_body(), req.headers, query=query)
    request = replace(request, id=request.id or context.invocation_id)
    scorer = model.outcome()
    if isinstance(scorer, ScoringError):
        return _sent(_refusal(scorer, {"X-Request-Id": request_id(request.id)}))
    return _sent(scorer.handle(request, form))


def written(model: ModelLoading, write: Callable[[ModelSpec], Any]) -> func.HttpResponse:
    """The JSON data that is written of the model."""
    scorer = model.outcome()
    if isinstance(scorer, ScoringError):
        return _sent(_refusal(scorer, {}))
    return told(200, write(scorer.spec))


def told(status: int, data: Any) -> func.HttpResponse:
    """JSON data that holds for now."""
    return _sent(Response(status, encode_json(data), JSON, {"Cache-Control": "no-store"}))


def _refusal(error: ScoringError, headers: dict[str, str]) -> Response:
    return Response(error.status, encode_json(PIPELINE.refusal(error)), JSON, headers)


def _sent(response: Response) -> func.HttpResponse:
    return func.HttpResponse(
        response.body,
        status_code=response.status,
        headers=response.headers,
        mimetype=response.content_type,
    )
