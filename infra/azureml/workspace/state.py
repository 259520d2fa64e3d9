"""What of a workspace's template is there already, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.infra.azureml.workspace.names import MADE, PARTS, WorkspaceNames
from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import ArmResources, Groups, TaggedResource
from onnxferry.infra.errors import NotAllowed, NotFound, Refused


@dataclass(frozen=True)
class WorkspaceState:
    """The region of the resource group, and each part that is there. `deleted` is whether a key
    vault of this name was deleted and is kept; None where that is not known."""

    location: str
    parts: Mapping[str, TaggedResource]
    deleted: bool | None = False

    @property
    def failed(self) -> set[str]:
        """The ids of the parts that are not as they should be: half made, or half changed."""
        return {part.id.lower() for part in self.parts.values() if part.state == "Failed"}


def read_state(session: AzureSession, names: WorkspaceNames) -> WorkspaceState:
    """What is there now. Raises NotFound where the group is not."""
    groups = Groups(session)
    location = groups.location(names.group)
    if not location:
        raise NotFound(
            f"resource group {names.group}: there is none, and deploy.toml names no region for it:"
            f" `az group create --name {names.group} --location REGION`, then run again"
        )
    found = groups.all_in(names.group)
    ids = {part: names.id(part).lower() for part in PARTS}
    parts = {part: found[id_] for part, id_ in ids.items() if id_ in found}
    deleted = "vault" not in parts and _deleted(session, names, location)
    return WorkspaceState(location, parts, deleted)


def check(names: WorkspaceNames, state: WorkspaceState) -> None:
    """Raise Refused where something of somebody else's has a name of the template's."""
    taken = [part for part, found in state.parts.items() if not names.is_ours(found.tags)]
    if taken:
        listed = ", ".join(f"{PARTS[part].kind} {names.name(part)}" for part in taken)
        raise Refused(
            f"{listed} of resource group {names.group} is there, and this template did not make it"
            f" (no tag {MADE}={names.workspace}): it is left as it is. A workspace that is there"
            " needs no template; to make another, change workspace in [azureml]"
        )


def _deleted(session: AzureSession, names: WorkspaceNames, location: str) -> bool | None:
    vaults = ArmResources(session, PARTS["vault"].version)
    try:
        return vaults.exists(names.deleted_vault(location))
    except NotAllowed:
        return None
