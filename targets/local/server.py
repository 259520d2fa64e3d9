"""Runs the server: it listens at once, loads the models, proves each by its golden requests, serves
until SIGTERM or Ctrl-C, and answers the requests in flight before it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware

from onnxferry.scoring.errors import ModelError, ScoringError
from onnxferry.scoring.golden import mismatch
from onnxferry.scoring.wire import CPU_HEADER
from onnxferry.targets.local import listening, playground, start_message
from onnxferry.targets.local.admission import Admission
from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import LOG_FORMAT, Backend, folders
from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.config_file import ConfigError
from onnxferry.targets.local.deepsparse_models import directories
from onnxferry.targets.local.direct import Direct
from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.gate import LIVE, METRICS, READY, Gate, State
from onnxferry.targets.local.keys import Keys
from onnxferry.targets.local.operation import Operation

_log = logging.getLogger("onnxferry")


def serve(config: ServerConfig, notes: Sequence[str] = ()) -> None:
    """Load the models and serve them until a signal ends the server. What cannot be used, a model,
    a key, a certificate or the address, ends it with a message. `notes` are said at start."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for note in notes:
        _log.warning("%s", note)
    try:
        Server(config).run_until_signal()
    except (ScoringError, ConfigError) as e:
        sys.exit(f"error: {e}")


class Server(uvicorn.Server):
    """One server, from its start to its end. `url` is where it listens."""

    def __init__(self, config: ServerConfig) -> None:
        self.settings = config
        self.keys = Keys()
        self.keys.read(config.keys_file, os.environ)
        self.gate = Gate(self.keys, _open_paths(config))
        self.gate.health |= _health()
        self._made = ExitStack()  # folders; none is needed but for DeepSparse's models
        self._given: dict[str, str] = {}
        self._sockets = [listening.bound(config)]
        self.url = listening.url(config, self._sockets[0])
        self._operation = Operation(config, lambda: self.gate.state is not State.LOADING)
        application = self._operation.before(crossing(config, self.gate))
        super().__init__(listening.uvicorn_config(config, application))

    def run_until_signal(self) -> None:
        """Serve. Raises ScoringError for a model that cannot be served."""
        self.loop = (self.config.get_loop_factory() or asyncio.new_event_loop)()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self._made.close()
            self.loop.close()

    async def _run(self) -> None:
        self._watch_keys()
        backend = self._backend()
        serving = asyncio.ensure_future(self.serve(self._sockets))
        loading = asyncio.ensure_future(self._load(backend))
        try:
            await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done() and loading.exception():
                self.should_exit = True
            await serving
            if loading.done():
                loading.result()
        finally:
            loading.cancel()
            await backend.stop()
            self._operation.close()

    def _backend(self) -> Backend:
        folder = ""
        if any(model.task for model in self.settings.models):
            made = tempfile.TemporaryDirectory(prefix="onnxferry-serve-")
            folder = self._made.enter_context(made)
        models = directories(self.settings.models, Path(folder))
        named = zip(models, self.settings.models, strict=True)
        self._given = {str(made): str(model.path) for (_, made), model in named if model.task}
        return self._operation.backend(folders(models))

    async def _load(self, backend: Backend) -> None:
        """Let the application answer, once every model answers as it should."""
        try:
            await backend.start()
        except ModelError as e:
            raise ModelError(self._by_given_paths(str(e))) from e
        if not self.settings.skip_golden:
            await prove(backend)
        config = self.settings
        limits = config.in_flight, config.queue, config.request_seconds, config.bodies_mib * 2**20
        named = dict(zip(backend.models, config.models, strict=True))  # in the same order
        admission = Admission(*limits)
        app = application(backend, Exchange(backend, admission, named))
        self._operation.add(app, backend, admission)
        if config.playground:
            playground.add(app)
        self.gate.application = Direct(app, backend.models)
        if self.gate.state is State.LOADING:
            self.gate.state = State.READY
        for line in start_message.lines(self.url, config, backend.models.values(), self.keys):
            _log.info("%s", line)
        for line in start_message.warnings(config, self.keys):
            _log.warning("%s", line)

    def _by_given_paths(self, text: str) -> str:
        """With the user's paths for those of the folders that are made of them."""
        for made, given in self._given.items():
            text = text.replace(made, given)
        return text

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """At the first signal not ready, then closed; at the second the end."""
        if self.gate.state is State.DRAINING:
            _log.warning("a second signal: ended at once")
            self._made.close()
            logging.shutdown()
            os._exit(128 + sig)
        self.gate.state = State.DRAINING
        _log.info("%s: requests in flight are answered first", signal.Signals(sig).name)
        if self.gate.application is None or not self.settings.drain_seconds:
            self.should_exit = True
        else:
            later = partial(self.loop.call_later, self.settings.drain_seconds, self._close)
            self.loop.call_soon_threadsafe(later)

    def _close(self) -> None:
        self.should_exit = True

    def _watch_keys(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and self.settings.keys_file and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._read_keys)

    def _read_keys(self) -> None:
        try:
            self.keys.read(self.settings.keys_file, os.environ)
            _log.info("API keys read anew: %d", len(self.keys))
        except ConfigError as e:
            _log.error("%s; the keys stay as they were", e)


async def prove(backend: Backend) -> None:
    """Ask each model its golden requests. Raises ModelError for another answer."""
    for served in backend.models.values():
        for golden in served.spec.golden.all if served.spec.golden else ():
            request = replace(golden.request, id="golden")
            answer = await backend.handle(served.name, request, "pipeline")
            cpu = answer.headers.get(CPU_HEADER, "")
            if found := mismatch(golden, answer.status, answer.body, cpu):
                raise ModelError(f"{served.folder}: {found}")


def crossing(config: ServerConfig, application: Any) -> Any:
    """The application, which pages of `cors_origins` may call."""
    if not config.cors_origins:
        return application
    told = ("X-Request-Id", "Server-Timing", "Retry-After")
    return CORSMiddleware(
        application,
        allow_origins=config.cors_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=told,
    )


def _health() -> frozenset[str]:
    """With the path that Vertex AI asks."""
    told = os.environ.get("AIP_HEALTH_ROUTE", "")
    return READY | ({told} if told else frozenset())


def _open_paths(config: ServerConfig) -> frozenset[str]:
    health: frozenset[str] = frozenset() if config.closed_health else LIVE | _health()
    return health | (METRICS if config.open_metrics else frozenset())
