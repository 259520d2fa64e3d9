"""Models' files on a tracking server: experiments, and what is logged in them.

A model's files are sent as they lie in the package, so what is registered is what was packaged and
rehearsed, byte for byte; `mlflow.pyfunc.log_model` would write an MLmodel of its own, with paths of
this machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.mlflow_connection import MlflowConnection, as_default, pages
from onnxferry.infra.clients.mlflow_types import READY, Experiment, Logged
from onnxferry.infra.errors import NotFound, Refused

_RUN_FOLDER = "model"  # below a run's artifacts
_FINISHED, _FAILED = "FINISHED", "FAILED"
LOGGED, RUN = "logged model", "run"
Tags = Mapping[str, str]


class ModelFiles(MlflowConnection):
    """What is logged at a tracking server."""

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

    def log(self, experiment: Experiment, folder: Path, name: str, tags: Tags) -> Logged:
        """Store the files of `folder` as a logged model, or in a run where client or server is of
        MLflow 2."""
        with self._at(f"model {name} of experiment {experiment.name}"), as_default(self.place):
            return self._log_model(experiment, folder, name, tags) or self._log_run(
                experiment, folder, name, tags
            )

    def logged(self, experiment: Experiment, query: str) -> list[Logged]:
        """What is logged there that `query` finds, unready too."""
        kept: dict[str, Any] = {"filter_string": query}
        with self._at(f"experiment {experiment.name}"):
            runs = pages(self._client.search_runs, experiment_ids=[experiment.id], **kept)
            found = [self._of_run(run) for run in runs]
            return [*found, *self._logged_models(experiment, kept)]

    def download(self, found: Logged, folder: Path) -> None:
        """Fetch all files."""
        with self._at(f"{found.kind} {found.id}"), as_default(self.place):
            self._files(found.location).download_artifacts("", str(folder))

    def delete_logged(self, found: Logged) -> None:
        """Delete files and record, which says before that it is whole no longer. MLflow keeps the
        record's id until its `mlflow gc`."""
        client, logged = self._client, found.kind == LOGGED
        fail = client.finalize_logged_model if logged else client.update_run
        with self._at(f"{found.kind} {found.id}"), as_default(self.place):
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
                found = list(pages(search, experiment_ids=[experiment.id], **kept))
        except NotFound:  # the server is of MLflow 2
            return
        yield from map(self._of_model, found)

    def _of_model(self, model: Any) -> Logged:
        ready = str(getattr(model.status, "value", model.status)) == READY
        return Logged(LOGGED, model.model_id, model.artifact_location, ready, dict(model.tags))

    def _of_run(self, run: Any) -> Logged:
        where = f"{run.info.artifact_uri}/{_RUN_FOLDER}"
        ready = run.info.status == _FINISHED
        return Logged(RUN, run.info.run_id, where, ready, dict(run.data.tags))
