"""The FastAPI application of a backend whose models are loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onnxferry.scoring.errors import ScoringError
from onnxferry.targets.local import forms, routes
from onnxferry.targets.local.backend import Backend
from onnxferry.targets.local.exchange import Exchange, refused
from onnxferry.targets.local.refusals import Refusal


def application(backend: Backend, exchange: Exchange | None = None) -> FastAPI:
    """The routes of every protocol, for the models that `backend` has, which it starts and stops
    where a host asks it to."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await backend.start()
        yield
        await backend.stop()

    refusals = {HTTPException: _refuse, ScoringError: _refused, ClientDisconnect: _gone}
    app = FastAPI(
        title="onnxferry",
        lifespan=lifespan,
        exception_handlers=refusals,
        openapi_url=None,  # see routes/document
        docs_url=None,
        redoc_url=None,
    )
    routes.add(app, exchange or Exchange(backend))
    return app


async def _refuse(request: Request, error: HTTPException) -> Response:
    """The answer to an unknown route or method, with a body like the core's errors."""
    code, message = error.detail.lower().replace(" ", "_"), error.detail
    if code in ("not_found", "method_not_allowed"):
        message = f"{message}; this server's paths are in /docs"
    told = Refusal(message, error.headers)
    told.code, told.status = code, error.status_code
    return await _refused(request, told)


async def _refused(request: Request, error: ScoringError) -> Response:
    return refused(error, forms.of_path(request.url.path))


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """The client left while it sent its body; nobody reads this."""
    return Response(status_code=400)
