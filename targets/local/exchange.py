"""One HTTP request to one scored answer: every route goes through `Exchange.answer`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request, Response

from onnxferry import scoring
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.scorer import request_id
from onnxferry.targets.local import forms
from onnxferry.targets.local.admission import Admission
from onnxferry.targets.local.backend import Backend, Served
from onnxferry.targets.local.config import ModelConfig
from onnxferry.targets.local.observed import ERROR_CODE
from onnxferry.targets.local.refusals import NotFound, Refusal

_log = logging.getLogger("scoring")
Choice = Callable[[scoring.Request], str]  # the name of the model that a request is for


@dataclass(frozen=True)
class Exchange:
    """What routes need of the server."""

    backend: Backend
    admission: Admission = field(default_factory=Admission)
    configured: Mapping[str, ModelConfig] = field(default_factory=dict)  # by the models' names

    def model(self, name: str | None = None) -> Served:
        """The model `name`, by default the first. Raises NotFound."""
        models = self.backend.models
        if name is None:
            return next(iter(models.values()))
        if name not in models:
            raise NotFound(f"no model {name!r}; this server has {', '.join(models)}")
        return models[name]

    async def answer(
        self,
        request: Request,
        model: str | None = None,
        form: str = "pipeline",
        choose: Choice | None = None,
    ) -> Response:
        """Score the request's body by `model` (None: the first), or by the one that `choose` finds
        by the body."""
        served = None
        try:
            served = self.model(model)
            request.state.model = served.name  # for the metrics
            self.admission.check()
            async with self._body(request, served) as read:
                if choose:
                    served = self.model(choose(read))
                    request.state.model = served.name
                answer = await self.admission.run(
                    lambda: self.backend.handle(served.name, read, form), lambda: _left(request)
                )
        except Refusal as e:
            _logged(e, request, served.name if served else model)
            return refused(e, form)
        headers = {**answer.headers, "Content-Type": answer.content_type}
        return Response(answer.body, answer.status, headers)

    @asynccontextmanager
    async def _body(self, request: Request, served: Served) -> AsyncIterator[scoring.Request]:
        """The request with its body, if that has no more bytes than the model's limit, counted as
        held in the block."""
        limit = served.spec.limits.body_bytes
        headers = _headers(request)
        length, body = int(headers.get("content-length", 0)), bytearray()
        try:
            if length <= limit:
                await self._read(request, body, limit)
            query = dict(request.query_params) if request.scope["query_string"] else {}
            yield scoring.Request.of(bytes(body), headers, length, query)
        finally:
            self.admission.let_go(len(body))

    async def _read(self, request: Request, body: bytearray, limit: int) -> None:
        async for chunk in request.stream():
            self.admission.hold(len(chunk))
            body += chunk
            if len(body) > limit:
                break


def refused(error: ScoringError, form: str = "pipeline") -> Response:
    """The answer to what the server refuses, in the shape of `form`."""
    told = {"Content-Type": scoring.JSON, ERROR_CODE: error.code}
    headers = {**told, **getattr(error, "headers", {})}
    return Response(encode_json(forms.named(form).refusal(error)), error.status, headers)


def _logged(error: Refusal, request: Request, model: str | None) -> None:
    """One line, as scoring logs what it answers."""
    line = {"id": request_id(request.headers.get("x-request-id", "")), "model": model}
    _log.info("%s", json.dumps({**line, "status": error.status, "code": error.code}))


def _headers(request: Request) -> dict[str, str]:
    """By names in lower case; those that came several times as one list."""
    found: dict[str, str] = {}
    for raw, value in request.scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


async def _left(request: Request) -> None:
    """Ends when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
