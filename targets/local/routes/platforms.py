"""The paths that the clouds' containers have, and what is this server's own.

POST /predict, /score (AzureML), /invocations (SageMaker) and /api/score (Azure Functions) ask the
first model, and /invocations the one that X-Amzn-SageMaker-Target-Model names; /models/NAME/predict
asks any. GET and POST /api/classify (Azure Functions) ask the first that tells pictures' classes.
GET /ping and /health answer 200 once the models are loaded.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from onnxferry.scoring.classify import TASK
from onnxferry.targets.local.exchange import Exchange

SCORE = ("/predict", "/score", "/invocations", "/api/score")
TARGET = "x-amzn-sagemaker-target-model"  # of SageMaker's multi-model endpoints
CLASSIFY = "/api/classify"
HEALTH = ("/ping", "/health")


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    async def score(request: Request) -> Response:
        """Score by the first model."""
        target = request.headers.get(TARGET, "").removesuffix(".tar.gz").strip("/")
        return await exchange.answer(request, target or None)

    async def score_by(request: Request, name: str) -> Response:
        """Score by the named model."""
        return await exchange.answer(request, name)

    async def classify(request: Request) -> Response:
        """The best label of the picture that `img` names, or that is the body."""
        return await exchange.answer(request, _first(exchange, TASK), "classify")

    for path in SCORE:
        app.add_api_route(path, score, methods=["POST"], tags=["models"])
    app.add_api_route("/models/{name}/predict", score_by, methods=["POST"], tags=["models"])
    app.add_api_route(CLASSIFY, classify, methods=["GET", "POST"], include_in_schema=False)
    for path in HEALTH:
        app.add_api_route(path, _healthy, methods=["GET", "HEAD"], include_in_schema=False)


def _first(exchange: Exchange, task: str) -> str | None:
    """The first model of a task; None where there is none."""
    models = exchange.backend.models.items()
    return next((name for name, served in models if served.spec.task == task), None)


async def _healthy() -> Response:
    return Response()
