"""The FastAPI application of a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onnxferry import scoring
from onnxferry.scoring.codecs import encode_json
from onnxferry.targets.local import routes
from onnxferry.targets.local.backend import Backend
from onnxferry.targets.local.exchange import Exchange


def application(backend: Backend) -> FastAPI:
    """Starts `backend` when it starts, and stops it when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await backend.start()
        yield
        await backend.stop()

    refusals = {HTTPException: _refuse, ClientDisconnect: _gone}
    app = FastAPI(title="onnxferry", lifespan=lifespan, exception_handlers=refusals)
    routes.add(app, Exchange(backend))
    return app


async def _refuse(request: Request, error: HTTPException) -> Response:
    """The answer to an unknown route or method, with a body like the core's errors."""
    code = error.detail.lower().replace(" ", "_")
    body = encode_json({"error": {"code": code, "message": error.detail}})
    headers = {**(error.headers or {}), "Content-Type": scoring.JSON}
    return Response(body, error.status_code, headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """The client left while it sent its body; nobody reads this."""
    return Response(status_code=400)
