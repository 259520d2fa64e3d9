"""Vertex AI's contract of a container: AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE say where it asks
(AIP_HTTP_PORT: see command). Without them: POST /v1/models/NAME:predict, as it is called there."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response

from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.routes import described

_TAGS = ["Vertex AI"]


def add(app: FastAPI, exchange: Exchange, environment: Mapping[str, str] = os.environ) -> None:
    """See the module."""

    async def predict(request: Request) -> Response:
        """Instances in, predictions out, by the first model."""
        return await exchange.answer(request, None, "vertex")

    async def predict_by(request: Request, name: str) -> Response:
        """Instances in, predictions out."""
        return await exchange.answer(request, name, "vertex")

    async def healthy() -> Response:
        """Whether the server is ready."""
        return Response()

    path = "/v1/models/{name}:predict"
    app.add_api_route(path, predict_by, methods=["POST"], tags=_TAGS)
    if asked := environment.get("AIP_PREDICT_ROUTE"):
        app.add_api_route(asked, predict, methods=["POST"], tags=_TAGS)
    health = environment.get("AIP_HEALTH_ROUTE")
    if health and health not in described.taken(app):
        app.add_api_route(health, healthy, methods=["GET"], include_in_schema=False)
