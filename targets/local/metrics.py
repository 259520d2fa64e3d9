"""What /metrics tells, in Prometheus' text or OpenMetrics: counts and times of requests as they
end, and the state of the server when it is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    Summary,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from onnxferry.targets.local.backend import Backend
from onnxferry.targets.local.observation import Observation

# seconds; a short text takes some milliseconds, and a time limit is a minute by default
_TIMES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_PSS = ("smaps_rollup", "Pss:")  # of Linux: memory that processes share counts in parts


class Metrics:
    """One server's. Safe to use from several threads at once."""

    def __init__(self) -> None:
        disable_created_metrics()  # a series more for each, which Prometheus does not use
        self.registry = one = CollectorRegistry()
        by = ("model", "route")
        self._requests = _counter(one, "requests", "Requests by their answer.", *by, "status")
        self._latency = _histogram(
            one, "request_duration_seconds", "From a request's head to its answer.", *by
        )
        self._errors = _counter(one, "errors", "Requests refused, by the error's code.", "code")
        self._stages = Summary(
            "onnxferry_stage_duration_seconds",
            "Of scored requests, by stage.",
            ("model", "stage"),
            registry=one,
        )
        self._queue = _histogram(
            one, "queue_duration_seconds", "Wait of a request for a run of the model.", "model"
        )
        self._rows = _histogram(
            one, "batch_rows", "Rows of a request's largest run, others' too.", "model", at=_ROWS
        )
        self._items = _counter(one, "items", "Texts, images or rows that were sent.", "model")
        self._tokens = _counter(one, "tokens", "Tokens that went through the model.", "model")
        self._reloads = _counter(
            one, "model_reloads", "Directories that changed on disk.", "model", "result"
        )
        ProcessCollector(registry=one)

    def observe(self, model: str, observed: Observation) -> None:
        """See observation.Observer."""
        for stage, seconds in observed.seconds.items():
            self._stages.labels(model, stage).observe(seconds)
        if observed.batch:
            self._queue.labels(model).observe(observed.seconds["queue"])
            self._rows.labels(model).observe(observed.batch)
        self._items.labels(model).inc(observed.items)
        self._tokens.labels(model).inc(observed.tokens)
        if observed.code:
            self._errors.labels(observed.code).inc()

    def answered(self, model: str, route: str, status: int, seconds: float) -> None:
        """Of each request, whatever answered it; `model` is "" where none was asked."""
        self._requests.labels(model, route, status).inc()
        self._latency.labels(model, route).observe(seconds)

    def refused(self, code: str) -> None:
        """Of each request that the server refused, before it was scored."""
        self._errors.labels(code).inc()

    def reloaded(self, model: str, result: str) -> None:
        """Of each directory that changed: "taken" or "refused"."""
        self._reloads.labels(model, result).inc()

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """All of them, in the form that an Accept header prefers, and its content type."""
        write, content_type = choose_encoder(accept)
        return write(self.registry), content_type


class State:
    """A collector of what is so at the moment: of `backend`, and by `load` requests in flight and
    requests that wait."""

    def __init__(self, backend: Backend, load: Callable[[], tuple[int, int]]) -> None:
        self._backend, self._load = backend, load
        self._since: dict[str, tuple[Any, float]] = {}

    def collect(self) -> Iterator[Any]:
        """See prometheus_client's Collector."""
        running, waiting = self._load()
        yield _gauge("requests_in_flight", "Requests that are scored now.", running)
        yield _gauge("requests_waiting", "Requests that wait to be scored.", waiting)
        pids = self._backend.pids
        yield _gauge("workers", "Scoring processes that are ready.", len(pids))
        restarts = CounterMetricFamily(
            "onnxferry_worker_restarts", "Scoring processes started in a dead one's place."
        )
        restarts.add_metric((), self._backend.restarts)
        yield restarts
        yield from self._models()
        memory = GaugeMetricFamily(
            "onnxferry_process_memory_bytes", "PSS of each process.", labels=["process"]
        )
        for name, pid in [("server", os.getpid())] + [
            (f"worker-{i}", p) for i, p in enumerate(pids)
        ]:
            memory.add_metric((name,), memory_of(pid))
        yield memory

    def _models(self) -> Iterator[Any]:
        labels = ["model", "task", "precision", "version"]
        info = GaugeMetricFamily("onnxferry_model_info", "Models that answer.", labels=labels)
        loaded = GaugeMetricFamily(
            "onnxferry_model_loaded_timestamp_seconds", "When it came to answer.", labels=["model"]
        )
        for name, served in self._backend.models.items():
            spec = served.spec
            version = spec.files.get("model.onnx", "")[:12]
            info.add_metric((name, spec.task, spec.precision, version), 1)
            known, since = self._since.get(name, (None, 0.0))
            if known is not spec:
                since = time.time()
                self._since[name] = (spec, since)
            loaded.add_metric((name,), since)
        yield from (info, loaded)


def memory_of(pid: int, proc: Path = Path("/proc")) -> int:
    """Bytes of a process: its share (PSS) of what it holds; 0 where the system does not tell."""
    try:
        lines = (proc / str(pid) / _PSS[0]).read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(_PSS[1])), 0)


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Any:
    return Counter(f"onnxferry_{name}", text, labels, registry=registry)


def _histogram(
    registry: CollectorRegistry, name: str, text: str, *labels: str, at: tuple[float, ...] = _TIMES
) -> Any:
    return Histogram(f"onnxferry_{name}", text, labels, buckets=at, registry=registry)


def _gauge(name: str, text: str, value: float) -> Any:
    return GaugeMetricFamily(f"onnxferry_{name}", text, value=value)
