"""A tracking server with its model registry, as deploying needs it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from onnxferry.infra.clients.mlflow_connection import as_default, pages
from onnxferry.infra.clients.mlflow_files import LOGGED, RUN, ModelFiles, Tags
from onnxferry.infra.clients.mlflow_types import Logged, Registered, Version
from onnxferry.infra.errors import NotFound


class MlflowServer(ModelFiles):
    """A tracking server and its registry. Connects at the first call."""

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
            found = pages(self._client.search_registered_models, filter_string=query)
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
            found = map(_version, pages(search, filter_string=f"name = '{name}'"))
            return sorted(found, key=lambda one: int(one.number))

    def create_version(self, name: str, found: Logged, tags: Tags) -> Version:
        """Register what is logged as the next version."""
        own: dict[str, Any] = {"run_id": found.id} if found.kind == RUN else {}
        if found.kind == LOGGED:
            own = {"model_id": found.id}
        with self._model(name), as_default(self.place):
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


def _registered(found: Any) -> Registered:
    created = (found.creation_timestamp or 0) / 1000
    aliases = {str(alias): str(number) for alias, number in (found.aliases or {}).items()}
    return Registered(found.name, found.description or "", dict(found.tags), created, aliases)


def _version(found: Any) -> Version:
    tags = dict(found.tags or {})
    return Version(str(found.version), found.source or "", str(found.status), tags)
