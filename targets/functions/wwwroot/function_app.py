"""The Azure Functions app (v2 programming model), which lies at the root of what is published. The
model begins to be loaded when a worker imports this file, and requests wait for it. The Functions
host checks the function key, body size and time (host.json)."""

# ruff: noqa: E402 - the graph is read in its thread while the rest is imported
from __future__ import annotations

import os
from pathlib import Path

from onnxferry.scoring import log_requests
from onnxferry.targets.functions.loading import ModelLoading

log_requests()
model = ModelLoading(Path(__file__).parent / "model")

import azure.functions as func

from onnxferry.scoring.classify import ClassifyForm
from onnxferry.targets.functions.answers import answer, told, written
from onnxferry.targets.functions.auth import auth_level
from onnxferry.targets.functions.docs import file, page

LEVEL = auth_level(os.environ)
PROBE = {"methods": ["GET", "HEAD"], "auth_level": func.AuthLevel.ANONYMOUS}
app = func.FunctionApp(http_auth_level=LEVEL)


@app.function_name("score")
@app.route(route="score", methods=["POST"])
def score(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Score one request."""
    return answer(model, req, context)


@app.function_name("classify")
@app.route(route="classify", methods=["GET", "POST"])
def classify(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """The best label of the picture that the query's img names, or that is sent."""
    return answer(model, req, context, ClassifyForm())


# A coroutine: it takes no thread, all of which may be waiting for the model
@app.function_name("health")
@app.route(route="health", **PROBE)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """That the process lives."""
    return told(200, {"status": "healthy"})


@app.function_name("ready")
@app.route(route="ready", **PROBE)
async def ready(req: func.HttpRequest) -> func.HttpResponse:
    """Whether the model is loaded."""
    return told(200 if model.state == "ready" else 503, {"status": model.state})


@app.function_name("openapi")
@app.route(route="openapi.json", methods=["GET"])
def openapi(req: func.HttpRequest) -> func.HttpResponse:
    """The OpenAPI document."""
    from onnxferry.targets.functions.document import document

    return written(model, lambda spec: document(spec, LEVEL != func.AuthLevel.ANONYMOUS))


@app.function_name("docs")
@app.route(route="docs", methods=["GET"])
async def docs(req: func.HttpRequest) -> func.HttpResponse:
    """Swagger UI of that."""
    return page()


@app.function_name("docs_file")
@app.route(route="docs/{name}", methods=["GET"])
async def docs_file(req: func.HttpRequest) -> func.HttpResponse:
    """A file of Swagger UI."""
    return file(req.route_params["name"])
