"""What stands before all else: each HTTP request is counted and timed, and continues its trace."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.targets.local import tracing
from onnxferry.targets.local.metrics import Metrics
from onnxferry.targets.local.tracing import Tracer

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Any, Send], Awaitable[None]]

ERROR_CODE = "x-error-code"  # of an answer by which the server itself refuses
LEFT = 499  # in place of a status: the client left before it was answered
_STAGE = "onnxferry.stage."


@dataclass
class _Exchange:
    """One request: when it came, its span, and what was answered."""

    began: float
    traceparent: str
    span: Any = None
    status: int = LEFT
    headers: dict[str, str] = field(default_factory=dict)


class Observed:
    """An ASGI application before another. `tracer`: None for no spans."""

    def __init__(
        self, application: Application, metrics: Metrics, tracer: Tracer | None = None
    ) -> None:
        self._application, self._metrics, self._tracer = application, metrics, tracer

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        exchange = self._begun(scope)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.headers = _text(message["headers"])
                if exchange.traceparent:
                    sent = (b"traceparent", exchange.traceparent.encode("ascii"))
                    message["headers"] = [*message["headers"], sent]
            await send(message)

        try:
            return await self._application(scope, receive, tell)
        finally:
            self._ended(scope, exchange)

    def _begun(self, scope: Message) -> _Exchange:
        began = time.perf_counter()
        if not self._tracer:
            sent = next((v for k, v in scope["headers"] if k == b"traceparent"), b"")
            return _Exchange(began, tracing.traceparent(sent.decode("latin-1")))
        span = self._tracer.start(scope["method"], scope["path"], _text(scope["headers"]))
        return _Exchange(began, tracing.traceparent_of(span), span)

    def _ended(self, scope: Message, exchange: _Exchange) -> None:
        route = getattr(scope.get("route"), "path", "other")
        model = scope.get("state", {}).get("model", "")
        seconds = time.perf_counter() - exchange.began
        self._metrics.answered(model, route, exchange.status, seconds)
        code = exchange.headers.get(ERROR_CODE, "")
        if code:
            self._metrics.refused(code)
        if exchange.span:
            _end(exchange, f"{scope['method']} {route}", {"http.route": route, "model": model})


def _end(exchange: _Exchange, name: str, facts: MutableMapping[str, Any]) -> None:
    """A span's name and attributes, the milliseconds of each stage among them."""
    from opentelemetry.trace import StatusCode

    span = exchange.span
    span.update_name(name)
    facts["http.response.status_code"] = exchange.status
    facts["onnxferry.model"] = facts.pop("model")
    facts["onnxferry.request_id"] = exchange.headers.get("x-request-id", "")
    for stage in filter(None, exchange.headers.get("server-timing", "").split(", ")):
        stage_name, _, milliseconds = stage.partition(";dur=")
        facts[f"{_STAGE}{stage_name}_ms"] = float(milliseconds)
    if exchange.status >= 500:
        facts["error.type"] = exchange.headers.get(ERROR_CODE) or str(exchange.status)
        span.set_status(StatusCode.ERROR)
    span.set_attributes({name: value for name, value in facts.items() if value != ""})
    span.end()


def _text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
