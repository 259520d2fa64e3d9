"""One Azure Machine Learning workspace: the only importer of azure-ai-ml, which is kept quiet."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import yaml  # type: ignore[import-untyped]
from azure.ai.ml import (
    Input,
    MLClient,
    Output,
    entities,
    load_online_deployment,
    load_online_endpoint,
)
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import RetryPolicy

from onnxferry.infra.clients.azure import AzureSession, State
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_causes import refusal_of
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.azure_groups import AGAIN
from onnxferry.infra.clients.azureml_types import AttachedCompute, Datastore, failure_of, metadata
from onnxferry.infra.errors import Refused

Until = Callable[[State], None]  # waits for an operation
Begin = Callable[..., Any]  # begins one; gives its poller
Tags = Mapping[str, str]


class _RetryAllMethods(RetryPolicy):  # type: ignore[misc]
    """Tries POST again, too: every one that is sent from here only reads."""

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        return dict(super().configure_retries({"retry_on_methods": AGAIN, **options}))


class Workspace:
    """The region, the files and what is registered in a workspace; `ml` is its SDK client."""

    def __init__(self, session: AzureSession, group: str, name: str) -> None:
        _quieten()
        self.session = session
        subscription = session.subscription
        self.where = f"workspace {name} of resource group {group} in subscription {subscription}"
        self._name = name
        options = {**session.options, "retry_policy": _RetryAllMethods(**session.retries)}
        options |= {"cloud": session.where.name, "cloud_metadata": metadata(session.where)}
        options |= {"enable_telemetry": False, "show_progress": False}
        with self.translated(""):
            self.ml = MLClient(resource_group_name=group, workspace_name=name, **options)

    def location(self) -> str:
        """The workspace's region. Raises NotFound when there is no such workspace."""
        with self.translated(""):
            return str(self.ml.workspaces.get(self._name).location)

    def associated(self) -> tuple[str, str]:
        """The ids of the workspace's storage account and of its container registry; that is ""
        until an image is first built. Raises NotFound when there is no such workspace."""
        with self.translated(""):
            found = self.ml.workspaces.get(self._name)
        return str(found.storage_account or ""), str(found.container_registry or "")

    def compute(self, name: str) -> AttachedCompute | None:
        """The compute of that name, if there is one."""
        with self.translated(f"compute {name} of "), suppress(ResourceNotFoundError):
            found = self.ml.compute.get(name)
            state = str(getattr(found.provisioning_state, "value", found.provisioning_state) or "")
            facts = dict(getattr(found, "properties", None) or {})
            return AttachedCompute(str(found.type).lower(), state, facts)
        return None

    def datastore(self) -> Datastore:
        """Where the default datastore is. Raises Refused when it does not keep blobs."""
        return self._found(include_secrets=False)[0]

    def blobs(self) -> BlobContainer:
        """The default datastore's blobs, opened by its SAS or key, else as who is signed in."""
        return self.opened()[1]

    def opened(self, name: str = "") -> tuple[Datastore, BlobContainer]:
        """Where the datastore of that name is, or the default one, and its blobs as `blobs` gives
        them."""
        place, given = self._found(name, include_secrets=True)
        secret = getattr(given, "sas_token", None) or getattr(given, "account_key", None)
        return place, BlobContainer(self.session, place.url, place.container, secret)

    def datastores(self) -> list[Datastore]:
        """All that keep blobs."""
        with self.translated("datastores of "):
            found = list(self.ml.datastores.list())
        return [self._place(one) for one in found if isinstance(one, entities.AzureBlobDatastore)]

    def versions(self, kind: str, name: str) -> dict[str, tuple[Tags, str]]:
        """The versions of a "model" or an "environment" that are not archived: their tags, and a
        model's path."""
        with self.translated(f"{kind} {name} of "), suppress(ResourceNotFoundError):
            found = getattr(self.ml, f"{kind}s").list(name=name)
            facts = ((one, str(getattr(one, "path", None) or "")) for one in found)
            return {str(one.version): (dict(one.tags or {}), path) for one, path in facts}
        return {}

    def register_model(self, name: str, facts: Mapping[str, Any]) -> None:
        """Register a model; the folder at its `path` (azureml://...) is there already."""
        model = entities.Model(name=name, **facts)
        with self.translated(f"model {name}:{model.version} of "):
            self.ml.models.create_or_update(model)

    def register_environment(self, name: str, facts: Mapping[str, Any]) -> None:
        """Register an environment; its image is built when a deployment first asks for it."""
        environment = entities.Environment(name=name, **facts)
        with self.translated(f"environment {name}:{environment.version} of "):
            self.ml.environments.create_or_update(environment)

    def run(
        self, what: str, until: Until, begin: Begin, *wanted: Any, settled: State | None = None
    ) -> bool:
        """`begin` an operation with `wanted`, and wait for its end.

        Where one is under way already (maybe a first try), wait until it has `settled`; then False.
        """
        with redirect_stdout(io.StringIO()), self.translated(what):
            try:
                poller = begin(*wanted)
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
        """Translate errors; `what` stands before the workspace's name, such as "model m of "."""
        where = what + self.where
        with translated(where):
            try:
                yield
            except MlException as e:
                raise Refused(f"{where}: azure-ai-ml refuses it: {str(e).strip()[:600]}") from e
            except HttpResponseError as e:
                if e.status_code in (401, 403, 404, 429):
                    raise
                said = refusal_of(e)
                kind = failure_of(what.partition(" ")[0], " ".join((*said.codes, said.text)))
                if kind is None:
                    raise
                raise kind(f"{where}: {said.code or e.status_code}: {said.text}") from e

    def _found(self, name: str = "", *, include_secrets: bool) -> tuple[Datastore, Any]:
        """The datastore of that name, or the default one, and its credentials."""
        stores, secrets = self.ml.datastores, {"include_secrets": include_secrets}
        with self.translated(f"datastore {name} of " if name else "default datastore of "):
            store = stores.get(name, **secrets) if name else stores.get_default(**secrets)
        if not isinstance(store, entities.AzureBlobDatastore):
            raise Refused(
                f"datastore {store.name} of {self.where}: its type is {store.type}, but blobs are"
                " needed; name another one, or make a blob datastore the default one"
            )
        return self._place(store), store.credentials

    def _place(self, store: Any) -> Datastore:
        suffix = store.endpoint or self.session.where.storage_suffix
        url = f"{store.protocol or 'https'}://{store.account_name}.blob.{suffix}"
        return Datastore(str(store.name), url, str(store.container_name))


def sdk_endpoint(name: str, facts: Mapping[str, Any]) -> Any:
    """The SDK's object of a new endpoint; `facts` are those of its YAML schema."""
    return load_online_endpoint(io.StringIO(yaml.safe_dump({**facts, "name": name})))


def sdk_deployment(endpoint: str, name: str, facts: Mapping[str, Any]) -> Any:
    """The SDK's object of a deployment. `facts` are the ids of model, environment and code, and
    settings of the YAML schema, without those that are None. An MLflow model has neither code nor
    environment."""
    code = {key: facts[key] for key in ("code", "scoring_script") if key in facts}
    settings = {key: v for key, v in facts.items() if key not in code and v is not None}
    ids = {key: f"azureml:{facts[key]}" for key in ("model", "environment") if key in facts}
    own: dict[str, Any] = {"name": name, "endpoint_name": endpoint}
    own |= {"code_configuration": code} if code else {}
    return load_online_deployment(io.StringIO(yaml.safe_dump({**settings, **ids, **own})))


def sdk_batch_endpoint(name: str, tags: Tags) -> Any:
    """The SDK's object of a new batch endpoint."""
    return entities.BatchEndpoint(name=name, tags=dict(tags))


def sdk_batch_deployment(endpoint: str, name: str, facts: Mapping[str, Any]) -> Any:
    """The SDK's object of a deployment for batch jobs. `facts` are the ids of model, environment
    and code, the script, tags, compute, and `settings` as in the YAML schema."""
    settings = dict(facts["settings"])
    if retries := settings.pop("retry_settings", None):
        settings["retry_settings"] = entities.BatchRetrySettings(**retries)
    script = {"code": facts["code"], "scoring_script": facts["scoring_script"]}
    return entities.ModelBatchDeployment(
        name=name,
        endpoint_name=endpoint,
        tags=dict(facts["tags"]),
        model=facts["model"],
        environment=facts["environment"],
        code_configuration=entities.CodeConfiguration(**script),
        compute=facts["compute"],
        resources=entities.ResourceConfiguration(instance_count=1),
        settings=entities.ModelBatchDeploymentSettings(**settings),
    )


def sdk_cluster(facts: Mapping[str, Any]) -> Any:
    """The SDK's object of a cluster; `facts` are those of its YAML schema."""
    return entities.AmlCompute(**facts)


def sdk_places(kind: str, source: str, answers: str) -> tuple[Any, Any]:
    """The SDK's objects of a job's input, of a `kind` like "uri_folder", and of its output."""
    return Input(type=kind, path=source), Output(type="uri_folder", path=answers)


def _quieten() -> None:
    """Silence the SDK's loggers, which print every "not found" as an error. Setting a level takes
    as long as there are loggers, so that is done once for each."""
    silent = logging.CRITICAL + 1
    for name, found in logging.root.manager.loggerDict.items():
        logger = found if isinstance(found, logging.Logger) else None
        if logger and name.startswith("azure.ai.ml") and logger.level != silent:
            logger.setLevel(silent)
