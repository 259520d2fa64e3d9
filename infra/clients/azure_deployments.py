"""Deployments of templates to a resource group: the only importer of
azure-mgmt-resource-deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.deployments import DeploymentsMgmtClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_causes import flattened
from onnxferry.infra.clients.azure_errors import existing, refused, translated
from onnxferry.infra.clients.azure_groups import AGAIN, LIMIT
from onnxferry.infra.errors import CloudError, TimedOut

API_VERSION = "2026-06-01"


@dataclass(frozen=True)
class ResourceChange:
    """What a template would do to the resource `id`: `kind` is Azure's word for it (Create, Modify,
    NoChange, Ignore, Deploy, Unsupported, Delete); `delta` is how its properties change, as Azure
    tells it, `reason` why it cannot be told."""

    id: str
    kind: str
    delta: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class ResourceOperation:
    """How far a deployment is with the resource `id`: `error` is why it failed, with `status`."""

    id: str
    state: str
    error: Mapping[str, Any] = field(default_factory=dict)


class Deployments:
    """The template deployments of one resource group."""

    def __init__(self, session: AzureSession, group: str) -> None:
        self._group = group
        client = DeploymentsMgmtClient(api_version=API_VERSION, **session.options)
        self._deployments, self._operations = client.deployments, client.deployment_operations

    def what_if(self, name: str, template: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """What deploying the template with these values of its parameters would change, a
        ResourceChange each. Raises CloudError where Azure takes it not, TimedOut."""
        where, body = self._where(name), _body(template, values)
        settings = {"whatIfSettings": {"resultFormat": "FullResourcePayloads"}}
        wanted = {"properties": {**body["properties"], **settings}}
        begin = self._deployments.begin_what_if
        with translated(f"preview of {where}"):
            begun = begin(self._group, name, wanted, retry_on_methods=AGAIN)
            begun.wait(LIMIT)
            if not begun.done():
                raise TimedOut(f"preview of {where}: no answer after {LIMIT:g} s; run again")
            found = begun.result().as_dict()
        if found.get("error"):
            raise refused(f"preview of {where}", flattened(found["error"]), 400)
        changes = (found.get("properties") or {}).get("changes") or ()
        return tuple(_change(one) for one in changes)

    def begin(self, name: str, template: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Begin to deploy; Azure goes on by itself. False where a deployment of that name is at
        work: another's, or this one, whose answer was lost. Raises CloudError where Azure takes it
        not."""
        begin = self._deployments.begin_create_or_update
        with translated(self._where(name)):
            try:
                begin(self._group, name, _body(template, values), polling=False)
            except HttpResponseError as e:
                if e.error and e.error.code == "DeploymentActive":
                    return False
                raise
        return True

    def state(self, name: str) -> str:
        """Of the deployment of that name, one of Succeeded, Failed and Canceled at its end; "" for
        none."""
        found = existing(self._where(name), self._deployments.get, self._group, name)
        return str(found.as_dict()["properties"]["provisioningState"]) if found else ""

    def operations(self, name: str) -> list[ResourceOperation]:
        """How far it is, resource by resource."""
        with translated(self._where(name)):
            found = self._operations.list(self._group, name)
            return list(_told(one.as_dict() for one in found))

    def failure(self, name: str) -> CloudError:
        """Why the deployment failed: what each resource that did says, and what is there now."""
        operations = self.operations(name)
        failed = [one for one in operations if one.error]
        said = {"code": "DeploymentFailed", "details": [_named(one) for one in failed]}
        why = refused(self._where(name), flattened(said), 400)
        there = ", ".join(_last(one.id) for one in operations if one.state == "Succeeded")
        stays = f". What is there now stays, and the same command goes on: {there}" if there else ""
        return type(why)(f"{why}{stays}")

    def _where(self, name: str) -> str:
        return f"template deployment {name} to resource group {self._group}"


def _body(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: {"value": value} for name, value in values.items()}
    facts = {"mode": "Incremental", "template": dict(template), "parameters": given}
    return {"properties": facts}


def _change(found: Mapping[str, Any]) -> ResourceChange:
    delta, reason = found.get("delta") or (), found.get("unsupportedReason") or ""
    return ResourceChange(found.get("resourceId") or "", found["changeType"], tuple(delta), reason)


def _told(found: Iterator[Mapping[str, Any]]) -> Iterator[ResourceOperation]:
    for one in found:
        facts = one.get("properties") or {}
        target = (facts.get("targetResource") or {}).get("id")
        if target:  # evaluating outputs has none
            message = facts.get("statusMessage") or {}
            error = message.get("error") or {} if isinstance(message, Mapping) else {}
            yield ResourceOperation(target, facts.get("provisioningState", ""), error)


def _last(id_: str) -> str:
    """ "vaults/NAME" of an id."""
    return "/".join(id_.split("/")[-2:])


def _named(failed: ResourceOperation) -> dict[str, Any]:
    """The error of one resource, with the resource's name before what it says."""
    name = "/".join(failed.id.rpartition("/providers/")[2].split("/")[1:])
    message = f"{name}: {failed.error.get('message') or failed.error.get('code')}"
    return {**failed.error, "message": message}
