"""The paths that the clouds' containers have, and what is this server's own.

POST /predict, /score (AzureML), /invocations (SageMaker) and /api/score (Azure Functions) ask the
first model, /models/NAME/predict any; /rerank (Text Embeddings Inference), /v1/rerank and
/v2/rerank (Cohere) too. GET /ping and /health answer 200 once the models are loaded.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from onnxferry.targets.local.exchange import Exchange

RERANK = ("/rerank", "/v1/rerank", "/v2/rerank")
SCORE = ("/predict", "/score", "/invocations", "/api/score", *RERANK)
HEALTH = ("/ping", "/health")


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    async def score(request: Request) -> Response:
        return await exchange.answer(request)

    async def score_by(request: Request, name: str) -> Response:
        return await exchange.answer(request, name)

    for path in SCORE:
        app.add_api_route(path, score, methods=["POST"])
    app.add_api_route("/models/{name}/predict", score_by, methods=["POST"])
    for path in HEALTH:
        app.add_api_route(path, _healthy, methods=["GET", "HEAD"], include_in_schema=False)


async def _healthy() -> Response:
    return Response()
