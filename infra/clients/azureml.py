"""One Azure Machine Learning workspace: the door to azure-ai-ml, which nothing else imports.

The SDK is kept quiet: no telemetry, no progress bars, no dots on standard output while it polls.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AccountKeyConfiguration,
    AzureBlobDatastore,
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    OnlineRequestSettings,
    ProbeSettings,
    SasTokenConfiguration,
)
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import RetryPolicy

from onnxferry.infra.clients import azure
from onnxferry.infra.clients.azure import Session, translated
from onnxferry.infra.clients.azureml_facts import (
    Datastore,
    Deployment,
    Endpoint,
    audience,
    meaning,
    metadata,
)
from onnxferry.infra.clients.blobs import Blobs
from onnxferry.infra.clients.groups import AGAIN
from onnxferry.infra.errors import NotHealthy, Refused

# what an operation is at; None once it is done; raises when it failed
State = Callable[[], str | None]
Until = Callable[[State], None]  # waits for it


class _Again(RetryPolicy):  # type: ignore[misc]
    """Tries POST again, too: every one that is sent from here only reads."""

    def configure_retries(self, options: dict[str, Any]) -> dict[str, Any]:
        options.setdefault("retry_on_methods", AGAIN)
        settings: dict[str, Any] = super().configure_retries(options)
        return settings


class Workspace:
    """The workspace `name` of resource group `group`. Every wait is left to the caller's Until."""

    def __init__(self, session: Session, group: str, name: str) -> None:
        _hush()
        self._session = session
        self._where = (
            f"workspace {name} of resource group {group} in subscription {session.subscription}"
        )
        self._name = name
        with self._translated(""):
            self._ml = MLClient(
                resource_group_name=group,
                workspace_name=name,
                enable_telemetry=False,
                show_progress=False,
                cloud=session.where.name,
                cloud_metadata=metadata(session.where),
                retry_policy=_Again(**azure.RETRIES),
                **session.options,
            )

    def location(self) -> str:
        """The workspace's region. Raises NotFound when there is none of that name."""
        with self._translated(""):
            return str(self._ml.workspaces.get(self._name).location)

    def datastore(self) -> Datastore:
        """Where the default datastore is."""
        return self._place(self._default(include_secrets=False))

    def blobs(self) -> Blobs:
        """The default datastore's blobs, opened as the datastore itself is: by SAS, by key, or as
        who is signed in."""
        store = self._default(include_secrets=True)
        place = self._place(store)
        opened_by: Any = self._session.credential
        if isinstance(store.credentials, SasTokenConfiguration):
            opened_by = store.credentials.sas_token or opened_by
        elif isinstance(store.credentials, AccountKeyConfiguration):
            opened_by = store.credentials.account_key or opened_by
        return Blobs(place.url, place.container, opened_by)

    def models(self, name: str) -> dict[str, Mapping[str, str]]:
        """The versions of a model, with their tags."""
        return self._versions(lambda: self._ml.models.list(name=name), f"model {name} of ")

    def environments(self, name: str) -> dict[str, Mapping[str, str]]:
        """The versions of an environment, with their tags."""
        return self._versions(
            lambda: self._ml.environments.list(name=name), f"environment {name} of "
        )

    def register_model(self, name: str, version: str, path: str, tags: Mapping[str, str]) -> None:
        """Register the folder at `path` (azureml://...), which is there already, as a model."""
        with self._translated(f"model {name}:{version} of "):
            self._ml.models.create_or_update(
                Model(name=name, version=version, path=path, type="custom_model", tags=dict(tags))
            )

    def register_environment(
        self, name: str, version: str, image: str, conda: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        """Register an environment; its image is built when a deployment first asks for it."""
        with self._translated(f"environment {name}:{version} of "):
            self._ml.environments.create_or_update(
                Environment(
                    name=name, version=version, image=image, conda_file=dict(conda), tags=dict(tags)
                )
            )

    def endpoint(self, name: str) -> Endpoint | None:
        with self._translated(f"endpoint {name} of "):
            try:
                found = self._ml.online_endpoints.get(name)
            except ResourceNotFoundError:
                return None
        return Endpoint(
            found.name,
            _plain(found.provisioning_state),
            found.scoring_uri or "",
            _plain(found.auth_mode),
            _shares(found.traffic),
            _shares(found.mirror_traffic),
            dict(found.tags or {}),
        )

    def create_endpoint(
        self, name: str, auth_mode: str, tags: Mapping[str, str], until: Until
    ) -> None:
        wanted = ManagedOnlineEndpoint(name=name, auth_mode=auth_mode, tags=dict(tags))
        settled = self.endpoint_state(name)
        self._run(
            f"endpoint {name} of ",
            lambda: self._ml.online_endpoints.begin_create_or_update(wanted),
            until,
            settled,
        )

    def move(
        self, name: str, traffic: Mapping[str, int] | None, tags: Mapping[str, str], until: Until
    ) -> None:
        """Give the endpoint this traffic, if any is said, and beside its other tags these; an empty
        tag goes. All in one request, again where another operation was in its way."""
        where = f"traffic of endpoint {name} of "
        for _ in range(2):
            with self._translated(where):
                found = self._ml.online_endpoints.get(name)
            kept = {key: value for key, value in {**(found.tags or {}), **tags}.items() if value}
            shares = _shares(found.traffic)
            wanted = shares if traffic is None else dict(traffic)
            if _plain(found.provisioning_state) == "Succeeded" and (found.tags or {}, shares) == (
                kept,
                wanted,
            ):
                return
            found.traffic, found.tags = wanted, kept
            begin = partial(self._ml.online_endpoints.begin_create_or_update, found)
            if self._run(where, begin, until, self.endpoint_state(name)):
                return

    def delete_endpoint(self, name: str, until: Until) -> None:
        """Delete the endpoint and all its deployments."""
        self._run(
            f"endpoint {name} of ", lambda: self._ml.online_endpoints.begin_delete(name), until
        )

    def deployments(self, endpoint: str) -> list[Deployment]:
        with self._translated(f"deployments of endpoint {endpoint} of "):
            return [_deployment(found) for found in self._ml.online_deployments.list(endpoint)]

    def deployment(self, endpoint: str, name: str) -> Deployment | None:
        with self._translated(f"deployment {name} of endpoint {endpoint} of "):
            try:
                return _deployment(self._ml.online_deployments.get(name, endpoint))
            except ResourceNotFoundError:
                return None

    def create_deployment(
        self, endpoint: str, name: str, facts: Mapping[str, Any], until: Until
    ) -> None:
        """Create a deployment without traffic, or change it. `facts` are ids of model, environment
        and code, and the settings of the YAML schema. Raises BuildFailed, NotHealthy or
        QuotaExceeded when it comes to nothing."""
        probes = {
            key: ProbeSettings(**facts[key])
            for key in ("liveness_probe", "readiness_probe")
            if facts.get(key)
        }
        wanted = ManagedOnlineDeployment(
            name=name,
            endpoint_name=endpoint,
            model=facts["model"],
            environment=facts["environment"],
            code_configuration=CodeConfiguration(
                code=facts["code"], scoring_script=facts["scoring_script"]
            ),
            environment_variables=dict(facts["environment_variables"]),
            tags=dict(facts["tags"]),
            instance_type=facts["instance_type"],
            instance_count=facts["instance_count"],
            request_settings=OnlineRequestSettings(**facts["request_settings"]),
            **probes,
        )
        where = f"deployment {name} of endpoint {endpoint} of "
        settled = self.deployment_state(endpoint, name)
        self._run(
            where,
            lambda: self._ml.online_deployments.begin_create_or_update(wanted),
            until,
            settled,
        )

    def delete_deployment(self, endpoint: str, name: str, until: Until) -> None:
        where = f"deployment {name} of endpoint {endpoint} of "
        self._run(where, lambda: self._ml.online_deployments.begin_delete(name, endpoint), until)

    def deployment_state(self, endpoint: str, name: str) -> State:
        """Waits for what another run began: None once the deployment has succeeded or is gone."""

        def state() -> str | None:
            found = self.deployment(endpoint, name)
            if found and found.state in ("Failed", "Canceled"):
                raise NotHealthy(
                    f"deployment {name} of endpoint {endpoint} of {self._where}: its state is"
                    f" {found.state}"
                )
            return found.state if found and found.state != "Succeeded" else None

        return state

    def logs(self, endpoint: str, deployment: str, lines: int, container: str | None = None) -> str:
        """What the deployment's container ("inference-server", "storage-initializer") printed
        last."""
        with self._translated(f"logs of deployment {deployment} of endpoint {endpoint} of "):
            return str(
                self._ml.online_deployments.get_logs(
                    deployment, endpoint, lines, container_type=container
                )
            )

    def bearer(self, endpoint: Endpoint) -> str:
        """The key or token that opens the endpoint. Never printed."""
        with self._translated(f"keys of endpoint {endpoint.name} of "):
            if endpoint.auth_mode.lower() in ("aad_token", "aadtoken"):
                return str(self._session.credential.get_token(audience(self._session.where)).token)
            found = self._ml.online_endpoints.get_keys(endpoint.name)
        return str(getattr(found, "primary_key", None) or getattr(found, "access_token", ""))

    def _default(self, *, include_secrets: bool) -> Any:
        with self._translated("default datastore of "):
            store = self._ml.datastores.get_default(include_secrets=include_secrets)
        if not isinstance(store, AzureBlobDatastore):
            raise Refused(
                f"default datastore {store.name} of {self._where}: it is of type {store.type}, and"
                " models are kept in blobs; make a blob datastore the default one"
            )
        return store

    def _place(self, store: Any) -> Datastore:
        host = f"{store.account_name}.blob.{store.endpoint or self._session.where.storage_suffix}"
        return Datastore(
            str(store.name), f"{store.protocol or 'https'}://{host}", str(store.container_name)
        )

    def endpoint_state(self, name: str) -> State:
        def state() -> str | None:
            found = self.endpoint(name)
            return (
                found.state
                if found and found.state not in ("Succeeded", "Failed", "Canceled")
                else None
            )

        return state

    def _versions(self, ask: Callable[[], Any], what: str) -> dict[str, Mapping[str, str]]:
        with self._translated(what):
            try:
                return {str(found.version): dict(found.tags or {}) for found in ask()}
            except ResourceNotFoundError:
                return {}

    def _run(
        self, what: str, begin: Callable[[], Any], until: Until, settled: State | None = None
    ) -> bool:
        """Begin an operation and wait for its end. Where the cloud says that one is under way
        already, as it does to a second try whose first was lost on its way back, wait until that
        has `settled`, and return False."""
        # the SDK prints a dot at each poll
        with redirect_stdout(io.StringIO()), self._translated(what):
            try:
                poller = begin()
            except HttpResponseError as e:
                if e.status_code != 409 or settled is None:
                    raise
                until(settled)
                return False
            until(_state(poller))
            return True

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        where = what + self._where
        with translated(where):
            try:
                yield
            except MlException as e:
                raise Refused(f"{where}: azure-ai-ml refuses it: {str(e).strip()[:600]}") from e
            except HttpResponseError as e:
                code, said = (e.error.code, e.error.message) if e.error else ("", e.message)
                general = e.status_code in (401, 403, 404, 429)
                if (
                    what.startswith("deployment ")
                    and not general
                    and (kind := meaning(str(code), str(said)))
                ):
                    raise kind(f"{where}: {code or e.status_code}: {said}") from e
                raise


def _hush() -> None:
    """Its loggers print on standard error what it is about to do, and every "not found" as an
    error."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("azure.ai.ml") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.CRITICAL + 1)


def _deployment(found: Any) -> Deployment:
    return Deployment(
        found.name,
        _plain(found.provisioning_state),
        str(found.model or ""),
        str(getattr(found, "instance_type", None) or ""),
        int(found.instance_count or 0),
        dict(found.tags or {}),
    )


def _plain(value: Any) -> str:
    """Some of the SDK's values are members of enumerations, which print otherwise than what they
    are equal to."""
    return str(getattr(value, "value", value) or "")


def _state(poller: Any) -> State:
    def state() -> str | None:
        if not poller.done():
            return str(poller.status())
        poller.result()
        return None

    return state


def _shares(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}
