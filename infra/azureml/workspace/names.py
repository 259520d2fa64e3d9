"""What the parts of a workspace are called, and the tag that says that a template made them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

MADE = "onnxferry-workspace"  # tag on all that the template made; its value is the workspace's name
DEPLOYED = "onnxferry-deployed"  # tag: when it was made (ISO 8601, UTC)


@dataclass(frozen=True)
class Part:
    """One of the resources: its `kind` for people, its type, and the API version it is sent by."""

    kind: str
    type: str
    version: str


PARTS: Mapping[str, Part] = {  # each behind those that it stands on
    "logs": Part(
        "Log Analytics workspace", "Microsoft.OperationalInsights/workspaces", "2023-09-01"
    ),
    "insights": Part("Application Insights", "Microsoft.Insights/components", "2020-02-02"),
    "account": Part("storage account", "Microsoft.Storage/storageAccounts", "2025-01-01"),
    "vault": Part("key vault", "Microsoft.KeyVault/vaults", "2023-07-01"),
    "registry": Part("container registry", "Microsoft.ContainerRegistry/registries", "2023-07-01"),
    "identity": Part("identity", "Microsoft.ManagedIdentity/userAssignedIdentities", "2023-01-31"),
    "workspace": Part("workspace", "Microsoft.MachineLearningServices/workspaces", "2025-12-01"),
}


@dataclass(frozen=True)
class WorkspaceNames:
    """The names for the workspace `workspace` of a resource group."""

    subscription: str
    group: str
    workspace: str

    @property
    def shared(self) -> str:
        """The name of storage account, key vault and registry, which all of Azure shares: the
        workspace's in this group alone. At most 24 small letters and digits, and first a letter, as
        the three take it."""
        owner = f"{self.subscription}/{self.group}/{self.workspace}".lower()
        plain = re.sub(r"[^a-z0-9]", "", self.workspace.lower())[:12]
        return f"ml{plain}{hashlib.sha256(owner.encode()).hexdigest()[:10]}"

    def name(self, part: str) -> str:
        """The name of a part."""
        hyphens = self.workspace.replace("_", "-")  # Log Analytics takes no underscores
        own = {"logs": f"{hyphens}-logs", "insights": f"{hyphens}-insights"}
        own |= {"identity": f"{self.workspace}-endpoints", "workspace": self.workspace}
        return own.get(part, self.shared)

    def id(self, part: str) -> str:
        """The id of a part."""
        return f"{self.group_id}/providers/{PARTS[part].type}/{self.name(part)}"

    @property
    def group_id(self) -> str:
        """The resource group's id."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def deleted_vault(self, location: str) -> str:
        """The id of the key vault of that name that was deleted, and that Azure still keeps."""
        place = f"/subscriptions/{self.subscription}/providers/Microsoft.KeyVault"
        return f"{place}/locations/{location}/deletedVaults/{self.name('vault')}"

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags carry the mark of this workspace."""
        return tags.get(MADE, "").lower() == self.workspace.lower()
