"""The Azure Functions app (v2 programming model): POST /api/score answers as every other target does.

The model is loaded by the first request, once a worker. The Functions host, not this file, checks the function key and
the limits on body size and time (host.json).
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

import azure.functions as func

from scoring import JSON, Request, Scorer, load

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
_loading = threading.Lock()


@functools.cache
def _load() -> Scorer:
    return load(Path(__file__).parent / "model")


@app.function_name("score")
@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest) -> func.HttpResponse:
    """Score one request."""
    with _loading:
        scorer = _load()
    response = scorer.handle(
        Request(req.get_body(), req.headers.get("content-type") or JSON, req.headers.get("accept") or JSON)
    )
    return func.HttpResponse(response.body, status_code=response.status, mimetype=response.content_type)
