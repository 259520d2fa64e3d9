"""/metrics as Prometheus reads it, and traces as OpenTelemetry's own reader sees them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from onnxferry.scoring.errors import ModelError
from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend
from onnxferry.targets.local.metrics import Metrics, State, memory_of
from onnxferry.targets.local.observed import Observed
from onnxferry.targets.local.tracing import Tracer, traceparent, tracer
from tests import tiny

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
BODY = b'{"inputs": ["good day", "bad day"]}'
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("metrics") / "model")


@asynccontextmanager
async def serving(
    model: Path, metrics: Metrics, spans: Tracer | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    backend = ThreadBackend({"m": model}, observer=metrics.observe)
    await backend.start()
    metrics.registry.register(State(backend, lambda: (1, 2)))
    app = Observed(application(backend), metrics, spans)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://server"
    ) as client:
        yield client
    await backend.stop()


def asked(model: Path, metrics: Metrics, spans: Tracer | None = None) -> list[httpx.Response]:
    """One answer, one refusal of the core, one unknown path."""

    async def ask() -> list[httpx.Response]:
        async with serving(model, metrics, spans) as client:
            headers = {"traceparent": PARENT, "x-request-id": "one"}
            return [
                await client.post("/predict", content=BODY, headers=headers),
                await client.post("/models/m/predict", content=b"{}"),
                await client.get("/no/such/path"),
            ]

    return asyncio.run(ask())


def samples(text: str, read: Any = prometheus) -> Mapping[tuple[str, ...], float]:
    """Each sample's value by its name and its labels' values, in the labels' order."""
    families = read(text)
    found = [sample for family in families for sample in family.samples]
    return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for s in found}


@pytest.mark.parametrize(("accept", "read"), [("", prometheus), (OPENMETRICS, openmetrics)])
def test_every_request_is_counted(model: Path, accept: str, read: Any) -> None:
    metrics = Metrics()
    asked(model, metrics)
    body, content_type = metrics.text(accept)
    assert content_type.startswith(accept.partition(";")[0] or "text/plain")
    found = samples(body.decode(), read)
    assert found["onnxferry_requests_total", "m", "/predict", "200"] == 1
    assert found["onnxferry_requests_total", "m", "/models/{name}/predict", "400"] == 1
    assert found["onnxferry_requests_total", "", "other", "404"] == 1
    assert found["onnxferry_request_duration_seconds_count", "m", "/predict"] == 1
    assert found["onnxferry_errors_total", "missing_field"] == 1
    assert found["onnxferry_items_total", "m"] == 2
    assert found["onnxferry_tokens_total", "m"] == 8
    assert found["onnxferry_stage_duration_seconds_count", "m", "engine"] == 2
    assert found["onnxferry_queue_duration_seconds_count", "m"] == 1
    assert found["onnxferry_batch_rows_bucket", "1.0", "m"] == 0
    assert found["onnxferry_batch_rows_bucket", "2.0", "m"] == 1
    assert found["onnxferry_requests_in_flight",] == 1
    assert found["onnxferry_requests_waiting",] == 2
    assert found["onnxferry_workers",] == found["onnxferry_worker_restarts_total",] == 0
    assert found["onnxferry_model_info", "m", "fp32", "text-classification", ""] == 1
    assert found["onnxferry_model_loaded_timestamp_seconds", "m"] > 1e9
    assert found["onnxferry_process_memory_bytes", "server"] >= 0
    assert "good" not in body.decode()


def test_names_are_by_prometheus_conventions(model: Path) -> None:
    metrics = Metrics()
    asked(model, metrics)
    for family in openmetrics(metrics.text(OPENMETRICS)[0].decode()):
        assert re.fullmatch(r"(onnxferry|process)_[a-z_]+", family.name)
        assert not family.name.endswith(("_total", "_ms", "_milliseconds", "_count"))
        assert family.documentation.endswith(".")


def test_memory_is_the_processs_share(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text("00-ff [rollup]\nRss: 9 kB\nPss: 5 kB\n")
    assert (memory_of(7, tmp_path), memory_of(8, tmp_path)) == (5120, 0)


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        PARENT.upper(),
    ],
)
def test_what_is_no_traceparent_is_not_continued(sent: str) -> None:
    assert traceparent(sent) == ""


def test_a_trace_is_continued_in_the_answer_and_the_log_line(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scoring"):
        answers = asked(model, Metrics())
    version, trace, span, flags = answers[0].headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != PARENT.split("-")[2]
    assert answers[0].headers["x-request-id"] == "one"
    assert "traceparent" not in answers[1].headers
    told = (json.loads(r.getMessage()) for r in caplog.records if r.name == "scoring")
    lines = [line for line in told if "id" in line]  # of requests
    assert (lines[0]["id"], lines[0]["trace"]) == ("one", TRACE)
    assert "trace" not in lines[1]


def test_spans_continue_the_clients_trace_and_hold_the_stages(model: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    answers = asked(model, Metrics(), Tracer(provider))
    first, second, third = exporter.get_finished_spans()
    assert first.name == "POST /predict"
    assert f"{first.context.trace_id:032x}" == TRACE
    assert first.parent and f"{first.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert answers[0].headers["traceparent"] == f"00-{TRACE}-{first.context.span_id:016x}-01"
    attributes = dict(first.attributes or {})
    assert attributes["http.response.status_code"] == 200
    assert attributes["onnxferry.model"] == "m"
    assert attributes["onnxferry.request_id"] == "one"
    engine = attributes["onnxferry.stage.engine_ms"]
    assert isinstance(engine, float) and engine > 0
    assert (second.parent, third.parent) == (None, None)
    assert dict(third.attributes or {})["http.response.status_code"] == 404


def test_no_endpoint_no_spans() -> None:
    assert tracer({}) is None
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert tracer({**asked, "OTEL_SDK_DISABLED": "true"}) is None
    with pytest.raises(ModelError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"):
        tracer({**asked, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_an_endpoint_without_the_library_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp", None)
    with pytest.raises(ModelError, match=r"pip install 'onnxferry\[telemetry\]'"):
        tracer({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})
