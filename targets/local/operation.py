"""What runs beside a server's requests: metrics, spans, and the watch over model directories."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response

from onnxferry.scoring import urls
from onnxferry.scoring.engine_options import PREFIX
from onnxferry.targets.local import tracing
from onnxferry.targets.local.admission import Admission
from onnxferry.targets.local.backend import Backend, ThreadBackend
from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.metrics import Metrics, State
from onnxferry.targets.local.observation import Observation
from onnxferry.targets.local.observed import Application, Observed
from onnxferry.targets.local.watch import Copies, Watch
from onnxferry.targets.local.workers.backend import WorkerBackend


class Operation:
    """Of one server. `ready`: whether it answers clients; what it asks itself before is not
    counted. Raises ModelError for variables of OpenTelemetry's that cannot be followed."""

    def __init__(self, config: ServerConfig, ready: Callable[[], bool]) -> None:
        self._config, self._ready = config, ready
        self._metrics = Metrics()
        self._tracer = tracing.tracer()
        self._copies: Copies | None = None
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None

    def before(self, application: Application) -> Application:
        """The application, with its requests observed."""
        return Observed(application, self._metrics, self._tracer)

    def backend(self, folders: Mapping[str, Path]) -> Backend:
        """What scores the models in `folders`, or in copies of them that are watched. Raises
        ModelError."""
        config = self._config
        if config.threads:
            each = max(1, config.threads // max(1, config.workers))
            os.environ[f"{PREFIX}THREADS"] = str(each)
        os.environ |= _fetching(config)
        if config.watch:
            self._copies = Copies()
            try:
                self._watch = Watch(folders, self._copies)
            except BaseException:
                self._copies.close()
                raise
            folders = self._watch.folders
        if config.workers:
            return WorkerBackend(folders, config.workers, config.in_flight, self._observe)
        return ThreadBackend(folders, config.in_flight, self._observe)

    def add(self, app: FastAPI, backend: Backend, admission: Admission) -> None:
        """/metrics, of a server whose models are loaded; and the watch begins."""
        state = State(backend, lambda: (admission.running, admission.waiting))
        self._metrics.registry.register(state)

        async def metrics(request: Request) -> Response:
            text, content_type = self._metrics.text(request.headers.get("accept", ""))
            return Response(text, headers={"Content-Type": content_type})

        app.add_api_route("/metrics", metrics, include_in_schema=False)
        if self._watch:
            watching = self._watch.run(backend.replace, self._metrics.reloaded)
            self._watching = asyncio.ensure_future(watching)

    def close(self) -> None:
        """Once the backend has stopped: nothing is left behind, and every span is exported."""
        if self._watching:
            self._watching.cancel()
        if self._copies:
            self._copies.close()
        if self._tracer:
            self._tracer.close()

    def _observe(self, model: str, observed: Observation) -> None:
        if self._ready():
            self._metrics.observe(model, observed)


def _fetching(config: ServerConfig) -> dict[str, str]:
    """The variables by which scoring, here and in processes, fetches pictures; of what the settings
    leave open the environment's own count."""
    allowed = {urls.ALLOW: "true"} if config.allow_urls else {}
    return {**allowed, urls.HOSTS: ",".join(config.url_hosts)} if config.url_hosts else allowed
