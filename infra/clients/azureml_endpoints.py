"""The online endpoints of a workspace and their deployments. The caller's Until waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from onnxferry.infra.clients.azure_actions import ArmActions
from onnxferry.infra.clients.azureml import Tags, Until, Workspace, sdk_deployment, sdk_endpoint
from onnxferry.infra.clients.azureml_types import ManagedDeployment, ManagedEndpoint, audience
from onnxferry.infra.errors import NotHealthy, Refused

FAILED = frozenset({"Failed", "Canceled"})
EGRESS = "egress_public_network_access"  # of a deployment, fixed when it is made
_TABLES = ("request_settings", "liveness_probe", "readiness_probe")
_KEYS_VERSION = "2024-10-01"
_ADDED = ("createdBy", "createdAt", "lastModifiedAt")


class OnlineEndpoints:
    """The online endpoints of `workspace`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._endpoints = workspace.ml.online_endpoints
        self._deployments = workspace.ml.online_deployments

    def endpoint(self, name: str) -> ManagedEndpoint | None:
        """The endpoint of that name, if there is one."""
        with self._workspace.translated(f"endpoint {name} of "):
            try:
                found = self._endpoints.get(name)
            except ResourceNotFoundError:
                return None
        state, auth_mode = _plain(found.provisioning_state), _plain(found.auth_mode)
        traffic, mirror = _shares(found.traffic), _shares(found.mirror_traffic)
        url, tags = found.scoring_uri or "", dict(found.tags or {})
        compute = str(getattr(found, "compute", None) or "")
        access = (_is_public(found), _identities(found), compute)
        return ManagedEndpoint(found.name, state, url, auth_mode, traffic, mirror, tags, *access)

    def create_endpoint(self, name: str, facts: Mapping[str, Any], until: Until) -> bool:
        """Create an endpoint without deployments; `facts`: see `sdk_endpoint`. False where that was
        in conflict with something, which may have been a first try. Raises NameTaken."""
        begin, wanted = self._endpoints.begin_create_or_update, sdk_endpoint(name, facts)
        settled = partial(self.endpoint_state, name)
        return self._workspace.run(f"endpoint {name} of ", until, begin, wanted, settled=settled)

    def shift_traffic(
        self,
        name: str,
        traffic: Mapping[str, int] | None,
        tags: Tags,
        seen: Sequence[Mapping[str, int]],
        until: Until,
    ) -> None:
        """Give the endpoint this traffic (percentages by deployment) if any, and add these tags; an
        empty one goes. One request, sent again after an operation in its way.

        Raises Refused where the traffic is neither that nor one of `seen`, which the plan knows;
        any will do where there is none.
        """
        where, settled = f"traffic of endpoint {name} of ", partial(self.endpoint_state, name)
        for _ in range(2):
            with self._workspace.translated(where):
                found = self._endpoints.get(name)
            now = (found.tags or {}, _shares(found.traffic))
            kept = {key: value for key, value in {**now[0], **tags}.items() if value}
            wanted = now[1] if traffic is None else dict(traffic)
            if now == (kept, wanted) and _plain(found.provisioning_state) == "Succeeded":
                return
            if seen:
                self._refuse_moved(where, now[1], *map(dict, seen), wanted)
            found.traffic, found.tags, found.properties = wanted, kept, _own(found.properties)
            begin = self._endpoints.begin_create_or_update
            if self._workspace.run(where, until, begin, found, settled=settled):
                return

    def set_public_access(self, name: str, access: str, until: Until) -> None:
        """Let the endpoint take requests from the internet ("enabled") or not ("disabled"); all
        else of it stays."""
        where, settled = f"access to endpoint {name} of ", partial(self.endpoint_state, name)
        for _ in range(2):
            with self._workspace.translated(where):
                found = self._endpoints.get(name)
            if _is_public(found) == (access == "enabled"):
                return
            found.public_network_access, found.properties = access, _own(found.properties)
            begin = self._endpoints.begin_create_or_update
            if self._workspace.run(where, until, begin, found, settled=settled):
                return

    def mirror_traffic(
        self,
        name: str,
        mirror: Mapping[str, int],
        tags: Tags,
        seen: Mapping[str, int],
        until: Until,
    ) -> None:
        """Copy these percentages of the endpoint's traffic, by deployment, and add these tags, as
        `shift_traffic` does. Raises Refused where the traffic is not as `seen`."""
        where, settled = f"traffic of endpoint {name} of ", partial(self.endpoint_state, name)
        for _ in range(2):
            with self._workspace.translated(where):
                found = self._endpoints.get(name)
            kept = {key: value for key, value in {**(found.tags or {}), **tags}.items() if value}
            now = (found.tags or {}, _shares(found.mirror_traffic))
            if now == (kept, mirror) and _plain(found.provisioning_state) == "Succeeded":
                return
            self._refuse_moved(where, _shares(found.traffic), seen)
            found.mirror_traffic, found.tags = dict(mirror), kept
            found.properties = _own(found.properties)
            begin = self._endpoints.begin_create_or_update
            if self._workspace.run(where, until, begin, found, settled=settled):
                return

    def _refuse_moved(self, where: str, now: Mapping[str, int], *known: Mapping[str, int]) -> None:
        """Raise Refused where the traffic of `now` is none that is `known`, the planned one
        first."""
        if not any(now == one for one in known):
            raise Refused(
                f"{where}{self._workspace.where}: it is {_text(now)} now, and was"
                f" {_text(known[0])} when this was planned: somebody else has moved it. Nothing is"
                " changed; run the command again"
            )

    def delete_endpoint(self, name: str, until: Until) -> None:
        """Delete the endpoint and all its deployments."""
        self._workspace.run(f"endpoint {name} of ", until, self._endpoints.begin_delete, name)

    def endpoint_state(self, name: str) -> str | None:
        """The state while an operation is under way; None when none is, or it is gone."""
        found = self.endpoint(name)
        return found.state if found and found.state not in {"Succeeded", *FAILED} else None

    def deployments(self, endpoint: str) -> list[ManagedDeployment]:
        """The deployments of an endpoint."""
        with self._workspace.translated(f"deployments of endpoint {endpoint} of "):
            return [_deployment(found) for found in self._deployments.list(endpoint)]

    def create_deployment(
        self, endpoint: str, name: str, facts: Mapping[str, Any], until: Until
    ) -> None:
        """Create or change a deployment; `facts`: see `sdk_deployment`. Raises BuildFailed,
        NotHealthy or QuotaExceeded."""
        where, wanted = _of(endpoint, name), sdk_deployment(endpoint, name, facts)
        begin = self._deployments.begin_create_or_update
        settled = partial(self.deployment_state, endpoint, name)
        self._workspace.run(where, until, begin, wanted, settled=settled)

    def deployment(self, endpoint: str, name: str) -> ManagedDeployment | None:
        """One deployment, if it is there."""
        with self._workspace.translated(_of(endpoint, name)):
            try:
                return _deployment(self._deployments.get(name, endpoint))
            except ResourceNotFoundError:
                return None

    def delete_deployment(self, endpoint: str, name: str, until: Until) -> None:
        """Delete a deployment, which takes no traffic."""
        where, begin = _of(endpoint, name), self._deployments.begin_delete
        self._workspace.run(where, until, begin, name, endpoint)

    def deployment_state(self, endpoint: str, name: str) -> str | None:
        """Like `endpoint_state`. Raises NotHealthy when the deployment has failed."""
        where = _of(endpoint, name)
        found = self.deployment(endpoint, name)
        if found and found.state in FAILED:
            raise NotHealthy(f"{where}{self._workspace.where}: its state is {found.state}")
        return found.state if found and found.state != "Succeeded" else None

    def logs(self, endpoint: str, deployment: str, lines: int, container: str) -> str:
        """The last `lines` of a container: "inference-server" or "storage-initializer"."""
        get = self._deployments.get_logs
        with self._workspace.translated(f"logs of {_of(endpoint, deployment)}"):
            return str(get(deployment, endpoint, lines, container_type=container))

    def keys(self, name: str) -> dict[str, str]:
        """The "primary" and the "secondary" key of an endpoint that has keys. Never printed."""
        with self._workspace.translated(f"keys of endpoint {name} of "):
            found = self._endpoints.get_keys(name)
        return {"primary": str(found.primary_key), "secondary": str(found.secondary_key)}

    def regenerate_key(self, name: str, kind: str, until: Until) -> bool:
        """Renew the "primary" or the "secondary" key; False after an operation in its way.

        Not by the SDK's begin_regenerate_keys: that sends the old key as `keyValue`, which is by
        its own words the value that the key is set to.
        """
        where, settled = f"keys of endpoint {name} of ", partial(self.endpoint_state, name)
        with self._workspace.translated(where):
            id_ = str(self._endpoints.get(name).id)
        actions = ArmActions(self._workspace.session, _KEYS_VERSION)
        wanted = (id_, "regenerateKeys", {"keyType": kind.capitalize()})
        return self._workspace.run(where, until, actions.begin, *wanted, settled=settled)

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
    code = getattr(found.code_configuration, "code", None)
    ids = {"model": found.model, "code": code, "environment": found.environment}
    assets = {kind: str(id_) for kind, id_ in ids.items() if id_}
    kind, count = getattr(found, "instance_type", None) or "", int(found.instance_count or 0)
    settings = {
        "environment_variables": dict(found.environment_variables or {}),
        **{key: _set(getattr(found, key, None)) for key in _TABLES},
        EGRESS: _plain(getattr(found, EGRESS, None)).lower() or "enabled",
        "scale_settings": _set(found.scale_settings),
        "resources": {key: _set(v) for key, v in _set(getattr(found, "resources", None)).items()},
    }
    state, tags = _plain(found.provisioning_state), dict(found.tags or {})
    return ManagedDeployment(
        found.name, state, assets, kind, count, tags, settings, _collected(found.data_collector)
    )


def _collected(found: Any) -> frozenset[str]:
    """The collections that a data collector, if there is one, has enabled."""
    collections = found.collections if found else {}
    return frozenset(name for name, one in collections.items() if one.enabled == "true")


def _set(settings: Any) -> dict[str, Any]:
    """What is set of the SDK's object."""
    facts = vars(settings) if settings is not None else {}
    return {key: value for key, value in facts.items() if value is not None}


def _own(properties: Mapping[str, str] | None) -> dict[str, str]:
    """An endpoint's properties without those that the SDK puts among them when it reads."""
    return {key: value for key, value in (properties or {}).items() if key not in _ADDED}


def _text(traffic: Mapping[str, int]) -> str:
    return ", ".join(f"{share} % to {name}" for name, share in traffic.items()) or "nobody's"


def _plain(value: Any) -> str:
    """Some of the SDK's values are enum members, which print otherwise than their value."""
    return str(getattr(value, "value", value) or "")


def _is_public(endpoint: Any) -> bool:
    return _plain(getattr(endpoint, "public_network_access", None)).lower() != "disabled"


def _identities(endpoint: Any) -> frozenset[str]:
    given = getattr(endpoint.identity, "user_assigned_identities", None) or ()
    return frozenset(str(one.resource_id).lower() for one in given)


def _shares(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in (traffic or {}).items() if int(share)}
