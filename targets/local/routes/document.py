"""GET /openapi.json: the OpenAPI document of the models that are served, with a path, types and an
example for each; GET /docs: Swagger UI of it, whose files are here: no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi

from onnxferry.scoring import openapi
from onnxferry.scoring.classify import TASK
from onnxferry.scoring.openapi import OCTETS, schemas
from onnxferry.scoring.openapi.schemas import Schema
from onnxferry.targets.local import forms
from onnxferry.targets.local.backend import Served
from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.routes import described, examples, form_schemas
from onnxferry.targets.local.routes.catalog import EMBEDS, RANKS
from onnxferry.targets.local.routes.openai import RERANK
from onnxferry.targets.local.routes.platforms import CLASSIFY, SCORE

_STATIC = Path(__file__).parents[1] / "static"
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
STATUSES: Mapping[int, str] = {
    400: openapi.STATUSES[400],
    401: "No API key, or not one of the server's",
    404: "No such model",
    406: openapi.STATUSES[406],
    408: "The body did not come in time",
    413: openapi.STATUSES[413],
    415: openapi.STATUSES[415],
    429: "The queue is full; Retry-After says when to ask again",
    500: openapi.STATUSES[500],
    503: "The models are being loaded, or the server ends",
    504: "Not scored within the time limit",
}
_GET = (401, 404, 503)


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""
    made: dict[tuple[str, ...], Any] = {}

    def document() -> dict[str, Any]:
        """Made once for the models that are loaded."""
        served = exchange.backend.models
        key = tuple(f"{name} {id(model.spec)}" for name, model in served.items())
        if key not in made:
            made.clear()
            made[key] = written(app, list(served.values()))
        found: dict[str, Any] = made[key]
        return found

    async def openapi() -> dict[str, Any]:
        """This document."""
        return document()

    async def docs() -> Response:
        html = get_swagger_ui_html(
            openapi_url="../openapi.json",
            title="onnxferry",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
        )
        page = html.body.decode().replace('"../openapi.json"', '"openapi.json"')
        return Response(page, media_type="text/html")

    async def file(request: Request, name: str) -> Response:
        if name not in _FILES:
            return Response(status_code=404)
        headers = {"Content-Encoding": "gzip", "Cache-Control": "max-age=86400"}
        return Response(_packed(name), media_type=_FILES[name], headers=headers)

    app.openapi = document
    for path, answer in {"/openapi.json": openapi, "/docs": docs, "/docs/{name}": file}.items():
        app.add_api_route(path, answer, methods=["GET"], include_in_schema=False)


def _packed(name: str) -> bytes:
    return (_STATIC / f"{name}.gz").read_bytes()


def written(app: FastAPI, models: list[Served]) -> dict[str, Any]:
    """The document: FastAPI's of the routes that need no model; the others for each model."""
    about = (
        "Scores ONNX models. GET /models lists what is served; the examples below run as they are."
    )
    told: dict[str, Any] = get_openapi(
        title="onnxferry", version=described.version(), description=about, routes=app.routes
    )
    paths = {path: _simple(path, methods) for path, methods in told["paths"].items()}
    paths = {path: methods for path, methods in paths.items() if methods and "{" not in path}
    for path, operation in _operations(models):
        paths[path] = {**paths.get(path, {}), **operation}
    told["paths"] = paths
    told.pop("components", None)
    return told


def _simple(path: str, methods: dict[str, Any]) -> dict[str, Any]:
    """The GET operations of a path."""
    errors = _errors(forms.of_path(path).partition(":")[0], _GET)
    found = {}
    for method, operation in methods.items():
        if method == "get":
            operation["responses"] = {"200": operation["responses"]["200"], **errors}
            found[method] = operation
    return found


def _operations(models: list[Served]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, its operations) of all that a model answers."""
    for model in models:
        at = f"/v2/models/{model.name}"
        yield f"/models/{model.name}/predict", _post(model, "pipeline")
        yield f"{at}/infer", _post(model, "v2")
        yield f"/v1/models/{model.name}:predict", _post(model, "vertex")
        for path in (at, f"{at}/ready"):
            yield path, _get(model, path)
        yield f"/v1/models/{model.name}", _get(model, "/v1/models")
    if not models:
        return
    for path in SCORE:
        yield path, _post(models[0], "pipeline")
    if pictures := [model for model in models if model.spec.task == TASK]:
        yield CLASSIFY, openapi.classify(pictures[0].spec, pictures[0].name, STATUSES)
    for tasks, names, form in ((EMBEDS, ("/v1/embeddings",), "openai"), (RANKS, RERANK, "rerank")):
        if fit := [model for model in models if model.spec.task in tasks]:
            for path in names:
                yield path, _post(fit[0], form)
    index = {"tags": ["Open Inference Protocol v2"], "summary": "The models that are loaded"}
    listed = {"200": openapi.content({"type": "array", "items": {"type": "object"}}, "The models")}
    yield (
        "/v2/repository/index",
        {"post": {**index, "responses": {**listed, **_errors("v2", _GET)}}},
    )


def _get(model: Served, path: str) -> dict[str, Any]:
    form = forms.of_path(path)
    responses = {"200": openapi.content({"type": "object"}, "Metadata"), **_errors(form, _GET)}
    return {"get": {"summary": f"{model.name}", "tags": [model.name], "responses": responses}}


def _post(model: Served, form: str) -> dict[str, Any]:
    """POST of one form, typed by the model's task."""
    spec = model.spec
    if form == "pipeline":
        return {"post": openapi.score(spec, model.name, STATUSES)}
    instances = {"type": "array", "items": schemas.item(spec), "minItems": 1}
    vertex = {"instances": instances, "parameters": schemas.parameters(spec)}
    many = {"type": "array", "items": schemas.answer(spec)}
    bodies: Mapping[str, tuple[Schema, Schema]] = {
        "v2": (form_schemas.INFER, form_schemas.INFERRED),
        "openai": (form_schemas.EMBEDDINGS, form_schemas.EMBEDDED),
        "rerank": (form_schemas.RERANK, schemas.answer(spec)),
        "vertex": (
            {"type": "object", "properties": vertex, "required": ["instances"]},
            {"type": "object", "properties": {"predictions": many}, "required": ["predictions"]},
        ),
    }
    request, answer = bodies[form]
    body = {"required": True, "content": openapi.media(request, examples.of(model, form))}
    found = openapi.content(answer, "The answer", [OCTETS] if form == "v2" else [])
    schema = form_schemas.ERRORS["pipeline" if form == "rerank" else form]
    refused = openapi.errors(openapi.refusals(spec, STATUSES), schema)
    about = {"summary": f"{spec.task} by {model.name}", "tags": [model.name]}
    return {"post": {**about, "requestBody": body, "responses": {"200": found, **refused}}}


def _errors(form: str, statuses: Iterable[int]) -> dict[str, Any]:
    told = {status: STATUSES[status] for status in statuses}
    return openapi.errors(told, form_schemas.ERRORS[form])
