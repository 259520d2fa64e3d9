"""Application Insights: a component, and the Log Analytics workspace that keeps what it is
sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.clients import azure_bodies
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import ArmResource, ArmResources

WORKSPACE_VERSION = "2023-09-01"
COMPONENT_VERSION = "2020-02-02"


@dataclass(frozen=True)
class LogWorkspace(ArmResource):
    """`customer` is the id by which its logs are queried."""

    customer: str = ""


@dataclass(frozen=True)
class Component(ArmResource):
    """`connection` is what a program must know to send to it: with local authentication disabled it
    opens nothing, but no plan shows it."""

    connection: str = field(default="", repr=False)


class Insights:
    """Components and workspaces by their ids."""

    def __init__(self, session: AzureSession) -> None:
        self._workspaces = ArmResources(session, WORKSPACE_VERSION)
        self._components = ArmResources(session, COMPONENT_VERSION)

    def workspace(self, id_: str) -> LogWorkspace | None:
        """The workspace of that id, if there is one."""
        found = self._workspaces.get(id_)
        if found is None:
            return None
        return LogWorkspace(*_facts(found), _properties(found).get("customerId", ""))

    def component(self, id_: str) -> Component | None:
        """The component of that id, if there is one."""
        found = self._components.get(id_)
        if found is None:
            return None
        return Component(*_facts(found), _properties(found).get("ConnectionString", ""))

    def create_workspace(self, id_: str, location: str, tags: Mapping[str, str]) -> None:
        """Create a workspace."""
        place = {"location": location, "tags": dict(tags)}
        self._workspaces.put(id_, **azure_bodies.log_workspace(place))

    def create_component(
        self, id_: str, workspace: str, location: str, tags: Mapping[str, str]
    ) -> None:
        """Create a component on the workspace of that id."""
        place = {"location": location, "tags": dict(tags)}
        self._components.put(id_, **azure_bodies.insights_component(place, workspace))

    def delete_workspace(self, id_: str) -> None:
        """Delete a workspace, which Azure keeps for 14 days, to be recovered."""
        self._workspaces.delete(id_)

    def delete_component(self, id_: str) -> None:
        """Delete a component."""
        self._components.delete(id_)


def _facts(found: Mapping[str, Any]) -> tuple[str, str, Mapping[str, str]]:
    state = _properties(found).get("provisioningState", "")
    return str(found["name"]), str(state), dict(found.get("tags") or {})


def _properties(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return found.get("properties") or {}
