"""What Azure's built-in roles allow, as far as it matters here: from Azure's list of built-in
roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ML = "Microsoft.MachineLearningServices/workspaces"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
_KINDS = ("Actions", "NotActions", "DataActions", "NotDataActions")


def _role(**lists: Sequence[str]) -> dict[str, list[str]]:
    return {kind: list(lists.get(kind, ())) for kind in _KINDS}


DEFINITIONS: Mapping[str, Mapping[str, list[str]]] = {
    "AzureML Data Scientist": _role(
        Actions=[f"{_ML}/*/{verb}" for verb in ("read", "action", "delete", "write")],
        NotActions=[
            f"{_ML}/delete",
            f"{_ML}/write",
            f"{_ML}/computes/*/write",
            f"{_ML}/computes/*/delete",
            f"{_ML}/computes/listKeys/action",
            f"{_ML}/listKeys/action",
        ],
    ),
    "Managed Identity Operator": _role(
        Actions=[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            # what Azure lets the pattern above mean, too
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        ]
    ),
    "Reader": _role(Actions=["*/read"]),
    "Contributor": _role(
        Actions=["*"],
        NotActions=[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
    ),
    "Website Contributor": _role(
        Actions=[
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Web/serverFarms/join/action",
            "Microsoft.Web/serverFarms/read",
            "Microsoft.Web/sites/*",
        ]
    ),
    "Role Based Access Control Administrator": _role(
        Actions=[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
        ]
    ),
    "Storage Blob Data Contributor": _role(
        Actions=[f"{_BLOBS}/containers/{verb}" for verb in ("read", "write", "delete")],
        DataActions=[f"{_BLOBS}/containers/blobs/{verb}" for verb in ("read", "write", "delete")],
    ),
    "Storage Blob Data Reader": _role(
        Actions=[f"{_BLOBS}/containers/read"], DataActions=[f"{_BLOBS}/containers/blobs/read"]
    ),
    "Monitoring Contributor": _role(
        Actions=["*/read", "Microsoft.Insights/AutoscaleSettings/*", "Microsoft.Insights/Metrics/*"]
    ),
    "Log Analytics Reader": _role(Actions=["*/read"]),
}
