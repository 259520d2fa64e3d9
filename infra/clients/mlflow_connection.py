"""The door to MLflow: a client of a tracking server and its registry, and the stores of files.

MLflow's telemetry is off, and what it prints too. What it raises comes as CloudErrors.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.mlflow_errors import translated
from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.infra.errors import NotFound

_QUIET = {  # unless the user says otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
_URI = "MLFLOW_TRACKING_URI"


class MlflowConnection:
    """A tracking server and its registry. Connects at the first call."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @cached_property
    def _client(self) -> Any:
        """Raises NotFound where there is no database yet, which MLflow would make."""
        if not self.place.there:
            raise NotFound(f"{self.place.shown}: no such database; deploying makes it")
        return self._connected()

    def _connected(self) -> Any:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.ERROR)
        left = Path("mlruns")  # MLflow 2 makes it beside any database, and puts nothing there
        before = left.exists()
        client = MlflowClient(self.place.tracking, self.place.registry or None)
        if not before:
            with suppress(OSError):
                left.rmdir()
        return client

    def create_database(self) -> None:
        """Make the SQLite file with MLflow's tables."""
        if path := self.place.database:
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
        with self._at("database"):
            self._connected().search_registered_models(max_results=1)

    def check(self) -> None:
        """Raise NoCredentials where nobody is signed in."""
        with self._at("sign-in"):
            self._client.search_registered_models(max_results=1)

    def now(self) -> float:
        """The server's time in seconds, to whole ones; this machine's where it tells none."""
        uri = self.place.registry or self.place.tracking
        if not uri.startswith("http"):
            return time.time()
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        with self._at("its clock"):
            answer = http_request(get_default_host_creds(uri), "/health", "GET")
            date = answer.headers.get("Date")
        return parsedate_to_datetime(date).timestamp() if date else time.time()

    def _files(self, location: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(location)

    def _at(self, what: str) -> AbstractContextManager[None]:
        return translated(self._where(what))

    def _where(self, what: str) -> str:
        return f"MLflow at {self.place.shown}, {what}"


@contextmanager
def as_default(place: Place) -> Iterator[None]:
    """What stores files, and MLflow's own store, look for the rest at the default server."""
    before = os.environ.get(_URI)
    os.environ[_URI] = place.tracking
    try:
        yield
    finally:
        del os.environ[_URI]
        os.environ.update({_URI: before} if before is not None else {})


def pages(search: Callable[..., Any], **query: Any) -> Iterable[Any]:
    """All that a search finds, over its pages."""
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = getattr(page, "token", None)
        if not token:
            return
