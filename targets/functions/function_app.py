"""The Azure Functions app (v2 programming model): POST /api/score. The first request of a worker
loads the model. The Functions host checks the function key, body size and time (host.json). A
request without an id of the client's has the invocation's."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from pathlib import Path

import azure.functions as func

from onnxferry.scoring import Request, Scorer, load, log_requests

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
_loading = threading.Lock()


@functools.cache
def _load() -> Scorer:
    log_requests()
    return load(Path(__file__).parent / "model")


@app.function_name("score")
@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Score one request."""
    with _loading:
        scorer = _load()
    request = Request.of(req.get_body(), req.headers)
    response = scorer.handle(replace(request, id=request.id or context.invocation_id))
    return func.HttpResponse(
        response.body,
        status_code=response.status,
        headers=response.headers,
        mimetype=response.content_type,
    )
