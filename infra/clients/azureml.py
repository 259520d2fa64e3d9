"""One Azure Machine Learning workspace: the only importer of azure-ai-ml.

The SDK is kept quiet: no telemetry, no progress bars, no dots on standard output while it polls.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

import yaml  # type: ignore[import-untyped]
from azure.ai.ml import MLClient, entities, load_online_deployment
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import RetryPolicy

from onnxferry.infra.clients.azure import AzureSession, State
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.azureml_facts import Datastore, failure_of, metadata
from onnxferry.infra.clients.blobs import BlobContainer
from onnxferry.infra.clients.groups import AGAIN
from onnxferry.infra.errors import Refused

Until = Callable[[State], None]  # waits for an operation
Tags = Mapping[str, str]


class _Again(RetryPolicy):  # type: ignore[misc]
    """Tries POST again, too: every one that is sent from here only reads."""

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        return dict(super().configure_retries({"retry_on_methods": AGAIN, **options}))


class Workspace:
    """The workspace `name` of resource group `group`: its region, its files, and what is registered
    there. `ml` is the SDK's client of it."""

    def __init__(self, session: AzureSession, group: str, name: str) -> None:
        _quieten()
        self.session = session
        self.where = (
            f"workspace {name} of resource group {group} in subscription {session.subscription}"
        )
        self._name = name
        with self.translated(""):
            self.ml = MLClient(
                resource_group_name=group,
                workspace_name=name,
                enable_telemetry=False,
                show_progress=False,
                cloud=session.where.name,
                cloud_metadata=metadata(session.where),
                retry_policy=_Again(**session.retries),
                **session.options,
            )

    def location(self) -> str:
        """The workspace's region. Raises NotFound when there is none of that name."""
        with self.translated(""):
            return str(self.ml.workspaces.get(self._name).location)

    def datastore(self) -> Datastore:
        """Where the default datastore is. Raises Refused when it does not keep blobs."""
        return self._place(self._default(include_secrets=False))

    def blobs(self) -> BlobContainer:
        """The default datastore's blobs, opened as the datastore itself is: by SAS, by key, or as
        who is signed in."""
        store = self._default(include_secrets=True)
        place, given = self._place(store), store.credentials
        secret = getattr(given, "sas_token", None) or getattr(given, "account_key", None)
        return BlobContainer(self.session, place.url, place.container, secret)

    def models(self, name: str) -> dict[str, Tags]:
        """The versions of a model, with their tags."""
        return self._versions("model", name, self.ml.models)

    def environments(self, name: str) -> dict[str, Tags]:
        """The versions of an environment, with their tags."""
        return self._versions("environment", name, self.ml.environments)

    def register_model(self, name: str, version: str, path: str, tags: Tags) -> None:
        """Register the folder at `path` (azureml://...), which is there already, as a model."""
        model = entities.Model(
            name=name, version=version, path=path, type="custom_model", tags=dict(tags)
        )
        with self.translated(f"model {name}:{version} of "):
            self.ml.models.create_or_update(model)

    def register_environment(self, name: str, version: str, facts: Mapping[str, Any]) -> None:
        """Register an environment of the image, conda file and tags in `facts`; its image is built
        when a deployment first asks for it."""
        environment = entities.Environment(
            name=name,
            version=version,
            image=facts["image"],
            conda_file=dict(facts["conda"]),
            tags=dict(facts["tags"]),
        )
        with self.translated(f"environment {name}:{version} of "):
            self.ml.environments.create_or_update(environment)

    def run(
        self, what: str, begin: Callable[[], Any], until: Until, settled: State | None = None
    ) -> bool:
        """Begin an operation and wait for its end.

        Where the cloud says that one is under way already, as it does to a second try whose first
        was lost on its way back, wait until that has `settled`, and return False.
        """
        # the SDK prints a dot at each poll
        with redirect_stdout(io.StringIO()), self.translated(what):
            try:
                poller = begin()
            except HttpResponseError as e:
                if e.status_code != 409 or settled is None:
                    raise
                until(settled)
                return False
            until(lambda: None if poller.done() else str(poller.status()))
            poller.result()
            return True

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Translate errors of `what`, a text before the workspace's name such as "model m of "."""
        where = what + self.where
        with translated(where):
            try:
                yield
            except MlException as e:
                raise Refused(f"{where}: azure-ai-ml refuses it: {str(e).strip()[:600]}") from e
            except HttpResponseError as e:
                if not what.startswith("deployment ") or e.status_code in (401, 403, 404, 429):
                    raise
                code, said = (e.error.code, e.error.message) if e.error else ("", e.message)
                kind = failure_of(str(code), str(said))
                if kind is None:
                    raise
                raise kind(f"{where}: {code or e.status_code}: {said}") from e

    def _default(self, *, include_secrets: bool) -> Any:
        with self.translated("default datastore of "):
            store = self.ml.datastores.get_default(include_secrets=include_secrets)
        if not isinstance(store, entities.AzureBlobDatastore):
            raise Refused(
                f"default datastore {store.name} of {self.where}: it is of type {store.type}, and"
                " models are kept in blobs; make a blob datastore the default one"
            )
        return store

    def _place(self, store: Any) -> Datastore:
        suffix = store.endpoint or self.session.where.storage_suffix
        url = f"{store.protocol or 'https'}://{store.account_name}.blob.{suffix}"
        return Datastore(str(store.name), url, str(store.container_name))

    def _versions(self, kind: str, name: str, registry: Any) -> dict[str, Tags]:
        with self.translated(f"{kind} {name} of "):
            try:
                found = registry.list(name=name)
                return {str(one.version): dict(one.tags or {}) for one in found}
            except ResourceNotFoundError:
                return {}


def sdk_endpoint(name: str, auth_mode: str, tags: Tags) -> Any:
    """The SDK's object of an endpoint that is to be created."""
    return entities.ManagedOnlineEndpoint(name=name, auth_mode=auth_mode, tags=dict(tags))


def sdk_deployment(endpoint: str, name: str, facts: Mapping[str, Any]) -> Any:
    """The SDK's object of a deployment. `facts` are ids of model, environment and code, and the
    settings of the YAML schema; None leaves one out."""
    code = {key: facts[key] for key in ("code", "scoring_script")}
    settings = {key: v for key, v in facts.items() if key not in code and v is not None}
    ids = {key: f"azureml:{facts[key]}" for key in ("model", "environment")}
    own = {"name": name, "endpoint_name": endpoint, "code_configuration": code}
    return load_online_deployment(io.StringIO(yaml.safe_dump({**settings, **ids, **own})))


def _quieten() -> None:
    """The SDK's loggers print on standard error what it is about to do, and every "not found" as an
    error."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("azure.ai.ml") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.CRITICAL + 1)
