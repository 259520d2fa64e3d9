"""A request's place in a distributed trace: the W3C's traceparent is taken and continued. Where
OTEL_EXPORTER_OTLP_ENDPOINT (or _TRACES_ENDPOINT) is set, a span of each request is exported by
OpenTelemetry's own library, which reads its other variables too."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.wire import TRACEPARENT

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")


def traceparent(sent: str) -> str:
    """For the answer to a request that sent such a header: of the same trace, and of a span of our
    own. "" where none came, or none that is valid."""
    found = TRACEPARENT.fullmatch(sent)
    return f"00-{found['trace']}-{secrets.token_hex(8)}-{found['flags']}" if found else ""


@dataclass(frozen=True)
class Tracer:
    """Exports spans by a TracerProvider of OpenTelemetry's."""

    provider: Any

    def start(self, method: str, path: str, headers: Mapping[str, str]) -> Any:
        """The span of a request, in the trace that its headers name, or in a new one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract(headers)
        attributes = {"http.request.method": method, "url.path": path}
        tracer = self.provider.get_tracer("onnxferry")
        kind = SpanKind.SERVER
        return tracer.start_span(method, context=context, kind=kind, attributes=attributes)

    def close(self) -> None:
        """Export what is left."""
        self.provider.shutdown()


def traceparent_of(span: Any) -> str:
    """The header's value that names a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def tracer(environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """As the variables say; None where they name no endpoint. Raises ModelError where the library
    is absent, or for a protocol that it does not speak here."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return None
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    for name in _PROTOCOLS:
        if environment.get(name, "http/protobuf") != "http/protobuf":
            raise ModelError(f"{name} is {environment[name]!r}; spans are sent by http/protobuf")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as e:
        advice = "pip install 'onnxferry[telemetry]', or unset it"
        where = next(name for name in _ENDPOINTS if environment.get(name))
        raise ModelError(f"{where} is set, and {e.name} is not installed: {advice}") from e
    named = environment.get("OTEL_SERVICE_NAME") or "onnxferry"
    provider = TracerProvider(resource=Resource.create({"service.name": named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)
