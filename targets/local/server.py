"""The local server: the same core on your own machine, on the routes that the platforms' clients
already call: python server.py --port 8080

POST /score (AzureML), /invocations (SageMaker), /api/score (Azure Functions), /predict
(DeepSparse), /rerank (Text Embeddings Inference), /v1/rerank and /v2/rerank (Cohere) are one. GET
/, /ping and /health answer 200 once the model is loaded, also while it scores. A body over the
model's limit is not read on. SIGTERM and Ctrl-C end the server when the requests in flight are
answered. It listens on loopback unless --host says otherwise, and asks for no key: put it behind a
proxy that does before others reach it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onnxferry import scoring
from onnxferry.scoring import cpu
from onnxferry.scoring.codecs import encode_json

RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
SCORE = ("/score", "/invocations", "/api/score", "/predict", *RERANK)
HEALTH = ("/", "/ping", "/health")


def application(scorer: scoring.Scorer) -> FastAPI:
    """The application that answers by `scorer`, as many requests at once as there are cores."""
    refusals = {HTTPException: _refuse, ClientDisconnect: _gone}
    app = FastAPI(title=scorer.spec.name, exception_handlers=refusals)
    threads = ThreadPoolExecutor(cpu.available(), "score")

    async def score(request: Request) -> Response:
        read = await _read(request, scorer.spec.limits.body_bytes)
        answer = await asyncio.get_running_loop().run_in_executor(threads, scorer.handle, read)
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return Response(answer.body, answer.status, headers)

    for path in SCORE:
        app.add_api_route(path, score, methods=["POST"])
    for path in HEALTH:
        app.add_api_route(path, _healthy, methods=["GET", "HEAD"], include_in_schema=False)
    return app


async def _read(request: Request, limit: int) -> scoring.Request:
    """The request, with its body if that has at most `limit` bytes."""
    headers = {name: ", ".join(request.headers.getlist(name)) for name in request.headers}
    length, body = int(headers.get("content-length", 0)), bytearray()
    if length <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
    return scoring.Request.of(bytes(body), headers, length)


async def _healthy() -> Response:
    return Response()


async def _refuse(request: Request, error: HTTPException) -> Response:
    """The answer to an unknown route or method, with a body like the core's errors."""
    code, routes = error.detail.lower().replace(" ", "_"), ", ".join(SCORE)
    message = f"{error.detail}; this server takes POST {routes} and GET {', '.join(HEALTH)}"
    body = encode_json({"error": {"code": code, "message": message}})
    headers = {**(error.headers or {}), "Content-Type": scoring.JSON}
    return Response(body, error.status_code, headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """The client left while it sent its body; nobody reads this."""
    return Response(status_code=400)


def serve(folder: Path, host: str, port: int) -> None:
    """Load the model directory `folder` and serve it until a signal ends the server. An unusable
    model ends it with a message."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        scorer = scoring.load(folder)
    except scoring.ScoringError as e:
        sys.exit(f"error: {e}")
    uvicorn.run(
        application(scorer),
        host=host,
        port=port,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,  # seconds for the requests in flight
    )


def main() -> None:
    """The command line: serve the model in MODEL_DIR, or in the folder 'model' beside this file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8080, type=int, help="(default: %(default)s)")
    given = parser.parse_args()
    folder = os.environ.get("MODEL_DIR") or Path(__file__).parent / "model"
    serve(Path(folder), given.host, given.port)


if __name__ == "__main__":
    main()
