"""The door to MLflow: experiments, logged models and the model registry.

Raises CloudErrors. A model's files are sent as they lie in the package, so what is registered is
what was packaged and rehearsed, byte for byte; `mlflow.pyfunc.log_model` would write an MLmodel of
its own, with paths of this machine. MLflow's telemetry is off, and what it prints too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.mlflow_errors import translated
from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.infra.clients.mlflow_types import READY, Experiment, Logged, Registered, Version
from onnxferry.infra.errors import NotFound, Refused

_QUIET = {  # unless the user says otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
_URI = "MLFLOW_TRACKING_URI"
_RUN_FOLDER = "model"  # below a run's artifacts
_FINISHED, _FAILED = "FINISHED", "FAILED"
_LOGGED, _RUN = "logged model", "run"
Tags = Mapping[str, str]


class MlflowServer:
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
        if not self.place.tracking.startswith("http"):
            return time.time()
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        with self._at("its clock"):
            server = get_default_host_creds(self.place.tracking)
            date = http_request(server, "/health", "GET").headers.get("Date")
        return parsedate_to_datetime(date).timestamp() if date else time.time()

    # experiments

    def experiment(self, name: str) -> Experiment | None:
        """The experiment of that name. Raises Refused where it was deleted, which keeps the
        name."""
        with self._at(f"experiment {name}"):
            found = self._client.get_experiment_by_name(name)
        if found and found.lifecycle_stage != "active":
            advice = "restore it (mlflow experiments restore), or set experiment in [mlflow]"
            raise Refused(f"{self._where(f'experiment {name}')}: it was deleted; {advice}")
        return Experiment(found.experiment_id, name) if found else None

    def create_experiment(self, name: str) -> Experiment:
        """Make one, or find what another has made meanwhile."""
        if found := self.experiment(name):
            return found
        with self._at(f"experiment {name}"):
            location = self.place.artifacts or None
            return Experiment(self._client.create_experiment(name, location), name)

    # files

    def log(self, experiment: Experiment, folder: Path, name: str, tags: Tags) -> Logged:
        """Store the files of `folder` as a logged model, or in a run where client or server is of
        MLflow 2."""
        with self._at(f"model {name} of experiment {experiment.name}"), _default(self.place):
            return self._log_model(experiment, folder, name, tags) or self._log_run(
                experiment, folder, name, tags
            )

    def logged(self, experiment: Experiment, query: str) -> list[Logged]:
        """What is logged there that `query` finds, unready too."""
        kept: dict[str, Any] = {"filter_string": query}
        with self._at(f"experiment {experiment.name}"):
            runs = _pages(self._client.search_runs, experiment_ids=[experiment.id], **kept)
            found = [self._of_run(run) for run in runs]
            return [*found, *self._logged_models(experiment, kept)]

    def download(self, found: Logged, folder: Path) -> None:
        """Fetch all files."""
        with self._at(f"{found.kind} {found.id}"), _default(self.place):
            self._files(found.location).download_artifacts("", str(folder))

    def delete_logged(self, found: Logged) -> None:
        """Delete files and record, which says before that it is whole no longer. MLflow keeps the
        record's id until its `mlflow gc`."""
        client, logged = self._client, found.kind == _LOGGED
        fail = client.finalize_logged_model if logged else client.update_run
        with self._at(f"{found.kind} {found.id}"), _default(self.place):
            fail(found.id, _FAILED)
            self._delete_files(found)
            (client.delete_logged_model if logged else client.delete_run)(found.id)

    def _delete_files(self, found: Logged) -> None:
        """Delete what is there, unless this kind of store deletes nothing."""
        files = self._files(found.location)
        try:
            if files.list_artifacts():
                files.delete_artifacts()
        except NotImplementedError:
            return

    def _log_model(
        self, experiment: Experiment, folder: Path, name: str, tags: Tags
    ) -> Logged | None:
        client = self._client
        if not hasattr(client, "create_logged_model"):
            return None
        try:
            with self._at("logged models"):
                model = client.create_logged_model(experiment.id, name=name, tags=dict(tags))
        except NotFound:  # the server is of MLflow 2
            return None
        client.log_model_artifacts(model.model_id, str(folder))
        return self._of_model(client.finalize_logged_model(model.model_id, READY))

    def _log_run(self, experiment: Experiment, folder: Path, name: str, tags: Tags) -> Logged:
        client = self._client
        run = client.create_run(experiment.id, tags=dict(tags), run_name=name)
        client.log_artifacts(run.info.run_id, str(folder), _RUN_FOLDER)
        client.update_run(run.info.run_id, _FINISHED)  # set_terminated would print
        return self._of_run(client.get_run(run.info.run_id))

    def _logged_models(self, experiment: Experiment, kept: dict[str, Any]) -> Iterator[Logged]:
        if not hasattr(self._client, "search_logged_models"):
            return
        try:
            with self._at("logged models"):
                search = self._client.search_logged_models
                found = list(_pages(search, experiment_ids=[experiment.id], **kept))
        except NotFound:  # the server is of MLflow 2
            return
        yield from map(self._of_model, found)

    def _of_model(self, model: Any) -> Logged:
        ready = str(getattr(model.status, "value", model.status)) == READY
        return Logged(_LOGGED, model.model_id, model.artifact_location, ready, dict(model.tags))

    def _of_run(self, run: Any) -> Logged:
        where = f"{run.info.artifact_uri}/{_RUN_FOLDER}"
        ready = run.info.status == _FINISHED
        return Logged(_RUN, run.info.run_id, where, ready, dict(run.data.tags))

    def _files(self, location: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(location)

    # the registry

    def model(self, name: str) -> Registered | None:
        """The registered model."""
        try:
            with self._model(name):
                return _registered(self._client.get_registered_model(name))
        except NotFound:
            if not self.place.there:
                raise
            return None

    def models(self, query: str | None = None) -> list[Registered]:
        """All registered models that `query` finds."""
        with self._at("registered models"):
            found = _pages(self._client.search_registered_models, filter_string=query)
            return list(map(_registered, found))

    def create_model(self, name: str, tags: Tags, description: str = "") -> None:
        """Register a name. Raises NameTaken where it is taken: of two that try, one is told so."""
        with self._model(name):
            self._client.create_registered_model(name, dict(tags), description or None)

    def tag_model(self, name: str, tags: Tags) -> None:
        """Set tags; others stay."""
        with self._model(name):
            for key, value in tags.items():
                self._client.set_registered_model_tag(name, key, value)

    def delete_model(self, name: str) -> None:
        """Delete it with its versions and aliases."""
        with self._model(name):
            self._client.delete_registered_model(name)

    def versions(self, name: str) -> list[Version]:
        """All versions, oldest first."""
        with self._model(name):
            search = self._client.search_model_versions
            found = map(_version, _pages(search, filter_string=f"name = '{name}'"))
            return sorted(found, key=lambda one: int(one.number))

    def create_version(self, name: str, found: Logged, tags: Tags) -> Version:
        """Register what is logged as the next version."""
        own: dict[str, Any] = {"run_id": found.id} if found.kind == _RUN else {}
        if found.kind == _LOGGED:
            own = {"model_id": found.id}
        with self._model(name), _default(self.place):
            made = self._client.create_model_version(name, found.location, tags=dict(tags), **own)
            return _version(made)

    def tag_version(self, name: str, number: str, tags: Tags) -> None:
        """Set tags of a version; others stay."""
        with self._model(name):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, number, key, value)

    def delete_version(self, name: str, number: str) -> None:
        """Delete one version."""
        with self._model(name):
            self._client.delete_model_version(name, number)

    def set_alias(self, name: str, alias: str, number: str) -> None:
        """Move an alias to a version."""
        with self._model(name):
            self._client.set_registered_model_alias(name, alias, number)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        with self._model(name):
            self._client.delete_registered_model_alias(name, alias)

    def _model(self, name: str) -> AbstractContextManager[None]:
        return self._at(f"registered model {name}")

    def _at(self, what: str) -> AbstractContextManager[None]:
        return translated(self._where(what))

    def _where(self, what: str) -> str:
        return f"MLflow at {self.place.shown}, {what}"


@contextmanager
def _default(place: Place) -> Iterator[None]:
    """What stores files, and MLflow's own store, look for the rest at the default server."""
    before = os.environ.get(_URI)
    os.environ[_URI] = place.tracking
    try:
        yield
    finally:
        del os.environ[_URI]
        os.environ.update({_URI: before} if before is not None else {})


def _pages(search: Callable[..., Any], **query: Any) -> Iterable[Any]:
    """All that a search finds, over its pages."""
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = getattr(page, "token", None)
        if not token:
            return


def _registered(found: Any) -> Registered:
    created = (found.creation_timestamp or 0) / 1000
    aliases = {str(alias): str(number) for alias, number in (found.aliases or {}).items()}
    return Registered(found.name, found.description or "", dict(found.tags), created, aliases)


def _version(found: Any) -> Version:
    tags = dict(found.tags or {})
    return Version(str(found.version), found.source or "", str(found.status), tags)
