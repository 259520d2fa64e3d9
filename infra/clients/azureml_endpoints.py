"""The online endpoints of a workspace and their deployments. Every wait is left to the caller's
Until."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from onnxferry.infra.clients.azure import State
from onnxferry.infra.clients.azureml import Tags, Until, Workspace, sdk_deployment, sdk_endpoint
from onnxferry.infra.clients.azureml_facts import ManagedDeployment, ManagedEndpoint, audience
from onnxferry.infra.errors import NotHealthy

FAILED = frozenset({"Failed", "Canceled"})


class OnlineEndpoints:
    """The online endpoints of `workspace`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._endpoints = workspace.ml.online_endpoints
        self._deployments = workspace.ml.online_deployments

    def endpoint(self, name: str) -> ManagedEndpoint | None:
        """The endpoint, or None when there is none of that name."""
        with self._workspace.translated(f"endpoint {name} of "):
            try:
                found = self._endpoints.get(name)
            except ResourceNotFoundError:
                return None
        return ManagedEndpoint(
            found.name,
            _plain(found.provisioning_state),
            found.scoring_uri or "",
            _plain(found.auth_mode),
            _shares(found.traffic),
            _shares(found.mirror_traffic),
            dict(found.tags or {}),
        )

    def create_endpoint(self, name: str, auth_mode: str, tags: Tags, until: Until) -> None:
        """Create an endpoint without deployments."""
        wanted = sdk_endpoint(name, auth_mode, tags)
        begin = partial(self._endpoints.begin_create_or_update, wanted)
        self._workspace.run(f"endpoint {name} of ", begin, until, self.endpoint_state(name))

    def shift_traffic(
        self, name: str, traffic: Mapping[str, int] | None, tags: Tags, until: Until
    ) -> None:
        """Give the endpoint this traffic (percentages by deployment), if any is said, and beside
        its other tags these; an empty tag goes. All in one request, again where another operation
        was in its way."""
        where = f"traffic of endpoint {name} of "
        for _ in range(2):
            with self._workspace.translated(where):
                found = self._endpoints.get(name)
            kept = {key: value for key, value in {**(found.tags or {}), **tags}.items() if value}
            shares = _shares(found.traffic)
            wanted = shares if traffic is None else dict(traffic)
            is_so = (found.tags or {}, shares) == (kept, wanted)
            if is_so and _plain(found.provisioning_state) == "Succeeded":
                return
            found.traffic, found.tags = wanted, kept
            begin = partial(self._endpoints.begin_create_or_update, found)
            if self._workspace.run(where, begin, until, self.endpoint_state(name)):
                return

    def delete_endpoint(self, name: str, until: Until) -> None:
        """Delete the endpoint and all its deployments."""
        begin = partial(self._endpoints.begin_delete, name)
        self._workspace.run(f"endpoint {name} of ", begin, until)

    def endpoint_state(self, name: str) -> State:
        """Waits for what another run began: None once nothing is under way, or it is gone."""

        def state() -> str | None:
            found = self.endpoint(name)
            return found.state if found and found.state not in {"Succeeded", *FAILED} else None

        return state

    def deployments(self, endpoint: str) -> list[ManagedDeployment]:
        """The deployments of an endpoint."""
        with self._workspace.translated(f"deployments of endpoint {endpoint} of "):
            return [_deployment(found) for found in self._deployments.list(endpoint)]

    def create_deployment(
        self, endpoint: str, name: str, facts: Mapping[str, Any], until: Until
    ) -> None:
        """Create a deployment without traffic, or change it; `facts` are those of
        `sdk_deployment`. Raises BuildFailed, NotHealthy or QuotaExceeded when it fails."""
        wanted = sdk_deployment(endpoint, name, facts)
        begin = partial(self._deployments.begin_create_or_update, wanted)
        settled = self.deployment_state(endpoint, name)
        self._workspace.run(_of(endpoint, name), begin, until, settled)

    def delete_deployment(self, endpoint: str, name: str, until: Until) -> None:
        """Delete a deployment, which takes no traffic."""
        begin = partial(self._deployments.begin_delete, name, endpoint)
        self._workspace.run(_of(endpoint, name), begin, until)

    def deployment_state(self, endpoint: str, name: str) -> State:
        """Waits for what another run began: None once the deployment has succeeded or is gone.
        Raises NotHealthy when it has failed."""

        def state() -> str | None:
            with self._workspace.translated(_of(endpoint, name)):
                try:
                    found = _deployment(self._deployments.get(name, endpoint))
                except ResourceNotFoundError:
                    return None
            if found.state in FAILED:
                where = _of(endpoint, name) + self._workspace.where
                raise NotHealthy(f"{where}: its state is {found.state}")
            return found.state if found.state != "Succeeded" else None

        return state

    def logs(self, endpoint: str, deployment: str, lines: int, container: str) -> str:
        """The last `lines` that the deployment's container ("inference-server",
        "storage-initializer") printed."""
        with self._workspace.translated(f"logs of {_of(endpoint, deployment)}"):
            get = self._deployments.get_logs
            return str(get(deployment, endpoint, lines, container_type=container))

    def bearer(self, endpoint: ManagedEndpoint) -> str:
        """The key or token that opens the endpoint. Never printed."""
        session = self._workspace.session
        with self._workspace.translated(f"keys of endpoint {endpoint.name} of "):
            if endpoint.auth_mode.lower() in ("aad_token", "aadtoken"):
                return str(session.credential.get_token(audience(session.where)).token)
            found = self._endpoints.get_keys(endpoint.name)
        return str(getattr(found, "primary_key", None) or getattr(found, "access_token", ""))


def _of(endpoint: str, deployment: str) -> str:
    return f"deployment {deployment} of endpoint {endpoint} of "


def _deployment(found: Any) -> ManagedDeployment:
    return ManagedDeployment(
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


def _shares(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}
