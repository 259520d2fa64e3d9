"""What clients of a DeepSparse Server ask, besides /v2/models/NAME/infer, /v2/models/NAME/ready and
/v2/health: the routes of its configuration's endpoints, GET /endpoints and GET /config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request, Response

from onnxferry.targets.local import forms
from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.routes import described

_TAGS = ["DeepSparse"]


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    async def endpoints() -> list[str]:
        """The paths that score."""
        models = exchange.backend.models
        own = [c.route for c in exchange.configured.values() if c.route]
        return sorted({f"/v2/models/{name}/infer" for name in models} | set(own))

    async def config() -> dict[str, Any]:
        """The models that are served, in the form of a DeepSparse Server's configuration."""
        return {"endpoints": [_entry(exchange, name) for name in exchange.backend.models]}

    app.add_api_route("/endpoints", endpoints, methods=["GET"], tags=_TAGS)
    app.add_api_route("/config", config, methods=["GET"], tags=_TAGS)
    for name, model in exchange.configured.items():
        if model.route and model.route not in described.taken(app):
            _add_route(app, exchange, name, model.route)


def _add_route(app: FastAPI, exchange: Exchange, name: str, route: str) -> None:
    """A model's own path: of a DeepSparse endpoint in its form, else in the pipelines'."""
    told = endpoint(exchange, name)
    form = forms.name("deepsparse", endpoint=told) if told else "pipeline"

    async def score(request: Request) -> Response:
        """Score by the model of this path."""
        return await exchange.answer(request, name, form)

    app.add_api_route(route, score, methods=["POST"], tags=["models"], include_in_schema=False)


def own_places(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Where DeepSparse has the metadata of an endpoint with a route, /v2/models/ROUTE, and the
    model's name."""
    for name, model in exchange.configured.items():
        if model.route.startswith("/v2/models/") and model.route.endswith("/infer"):
            yield model.route.removesuffix("/infer"), name


def endpoint(exchange: Exchange, name: str) -> dict[str, Any] | None:
    """What the form of DeepSparse's bodies needs of a model from a DeepSparse configuration."""
    config = exchange.configured.get(name)
    if config is None or not config.task:
        return None
    return {"task": config.task, "model": str(config.path), "arguments": config.arguments}


def _entry(exchange: Exchange, name: str) -> dict[str, Any]:
    """Paths on this machine are nobody's business."""
    config, served = exchange.configured.get(name), exchange.model(name)
    task = config.task if config and config.task else served.spec.task.replace("-", "_")
    route = config.route if config and config.route else f"/v2/models/{name}/infer"
    return {"name": name, "task": task, "model": served.spec.name, "route": route}
