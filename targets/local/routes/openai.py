"""What clients of OpenAI, Text Embeddings Inference and Cohere ask: POST /v1/embeddings, GET
/v1/models, POST /rerank, /v1/rerank and /v2/rerank.

The body's `model` says which model answers where several have such a task; of one it may be
anything, as clients that come from elsewhere send it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from onnxferry import scoring
from onnxferry.scoring import codecs
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.errors import ScoringError
from onnxferry.targets.local import forms
from onnxferry.targets.local.exchange import Choice, Exchange
from onnxferry.targets.local.refusals import NotFound
from onnxferry.targets.local.routes.catalog import EMBEDS, RANKS

RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
_TAGS = ["OpenAI, Text Embeddings Inference and Cohere"]


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    async def embeddings(request: Request) -> Response:
        """A vector for each text."""
        return await _by_task(exchange, request, EMBEDS, "openai")

    async def rerank(request: Request) -> Response:
        """Documents in the order in which they answer a query."""
        if not any(served.spec.task in RANKS for served in exchange.backend.models.values()):
            raise NotFound("no model here ranks texts; this needs one of the task text-ranking")
        return await _by_task(exchange, request, RANKS, "pipeline")

    async def models() -> dict[str, Any]:
        """The models that this server has."""
        entry = {"object": "model", "created": 0, "owned_by": "onnxferry"}
        return {"object": "list", "data": [{"id": n, **entry} for n in exchange.backend.models]}

    async def model(name: str) -> dict[str, Any]:
        """One model."""
        found = exchange.model(name).name
        return {"id": found, "object": "model", "created": 0, "owned_by": "onnxferry"}

    app.add_api_route("/v1/embeddings", embeddings, methods=["POST"], tags=_TAGS)
    for path in RERANK:
        app.add_api_route(path, rerank, methods=["POST"], tags=_TAGS)
    app.add_api_route("/v1/models", models, methods=["GET"], tags=_TAGS)
    app.add_api_route("/v1/models/{name}", model, methods=["GET"], tags=_TAGS)


async def _by_task(
    exchange: Exchange, request: Request, tasks: Sequence[str], form: str
) -> Response:
    """The answer of the model of one of `tasks` that the body names; of the first model where none
    has such a task, which says so."""
    models = exchange.backend.models
    fit = [name for name, served in models.items() if served.spec.task in tasks]
    if not fit:
        return await exchange.answer(request, None, form)
    if len(fit) == 1:
        own = forms.name(form, model=fit[0]) if form == "openai" else form
        return await exchange.answer(request, fit[0], own)
    return await exchange.answer(request, fit[0], form, _named(fit))


def _named(fit: Sequence[str]) -> Choice:
    def choose(request: scoring.Request) -> str:
        """The model that the body names: the first where it names none, or cannot be read."""
        try:
            body = codecs.decode(request.body, request.content_type, (JSON,))
        except ScoringError:
            return fit[0]  # whose answer says what is wrong
        asked = body.get("model") if isinstance(body, dict) else None
        if asked is None:
            return fit[0]
        if asked not in fit:
            known = ", ".join(fit)
            raise NotFound(f"'model' names none of those that can answer this: {known}")
        return str(asked)

    return choose
