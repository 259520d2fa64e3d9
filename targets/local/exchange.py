"""One HTTP request to one scored answer: every route goes through `Exchange.answer`."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from onnxferry import scoring
from onnxferry.targets.local.backend import Backend, Served


@dataclass(frozen=True)
class Exchange:
    """What routes need of the server."""

    backend: Backend

    def model(self, name: str | None = None) -> Served:
        """The model `name`, by default the first. Raises HTTPException 404."""
        models = self.backend.models
        if name is None:
            return next(iter(models.values()))
        if name not in models:
            raise HTTPException(404, f"no model {name!r}; this server has {', '.join(models)}")
        return models[name]

    async def answer(
        self, request: Request, model: str | None = None, form: str = "pipeline"
    ) -> Response:
        """Score the request's body by `model` (None: the first)."""
        served = self.model(model)
        request.state.model = served.name  # for the metrics
        read = await _read(request, served.spec.limits.body_bytes)
        answer = await self.backend.handle(served.name, read, form)
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return Response(answer.body, answer.status, headers)


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
