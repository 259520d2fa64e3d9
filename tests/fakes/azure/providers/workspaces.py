"""Workspaces that are made, with what they stand on: key vaults, which stay for a time when they
are deleted, container registries, user-assigned identities, and compute clusters.

A new workspace has its default datastore in the storage account that it was given.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.providers.given import IDENTITIES
from tests.fakes.azure.providers.machinelearning import WORKSPACES
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

VAULTS, REGISTRIES = "Microsoft.KeyVault/vaults", "Microsoft.ContainerRegistry/registries"
_VAULT = {
    "location": NEEDED,
    "tags": ANY,
    "properties": {
        NEEDED: True,
        "tenantId": NEEDED,
        "sku": {NEEDED: True, "family": NEEDED, "name": NEEDED},
        **dict.fromkeys(("accessPolicies", "createMode", "enableRbacAuthorization"), MAY),
        **dict.fromkeys(("enableSoftDelete", "enablePurgeProtection"), MAY),
        "softDeleteRetentionInDays": MAY,
    },
}
_REGISTRY = {
    "location": NEEDED,
    "tags": ANY,
    "sku": {NEEDED: True, "name": NEEDED},
    "properties": {"adminUserEnabled": MAY, "publicNetworkAccess": MAY},
}
_IDENTITY = {"type": NEEDED, "userAssignedIdentities": ANY}
STANDS_ON = {  # property -> type
    "storageAccount": "Microsoft.Storage/storageAccounts",
    "keyVault": VAULTS,
    "containerRegistry": REGISTRIES,
    "applicationInsights": "Microsoft.Insights/components",
}
_WORKSPACE = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "sku": {"name": NEEDED, "tier": MAY},
    "identity": {NEEDED: True, **_IDENTITY},
    "properties": {
        NEEDED: True,
        **dict.fromkeys(STANDS_ON, NEEDED),
        "publicNetworkAccess": MAY,
        "systemDatastoresAuthMode": MAY,
        "v1LegacyMode": MAY,
    },
}
_SCALE = {
    NEEDED: True,
    "minNodeCount": MAY,
    "maxNodeCount": NEEDED,
    "nodeIdleTimeBeforeScaleDown": MAY,
}


class Workspaces:
    """`deleted` are key vaults by their names, `taken` the names that somebody else has."""

    def __init__(self, fake: AzureFake) -> None:
        self.deleted: dict[str, Resource] = {}
        self.taken: set[str] = set()
        self._fake = fake
        vault = ResourceType(
            VAULTS, _VAULT, check=self._check_vault, fill=self._fill_vault, on_delete=self._keep
        )
        registry = ResourceType(
            REGISTRIES, _REGISTRY, slow=True, check=self._check_registry, fill=_fill_registry
        )
        identity = ResourceType(IDENTITIES, {"location": NEEDED, "tags": ANY}, fill=_fill_identity)
        workspace = ResourceType(
            WORKSPACES, _WORKSPACE, slow=True, check=self._check_workspace, ends=self._open
        )
        fake.arm.add(vault, registry, identity, workspace)
        place = r"/subscriptions/[^/]+/providers/Microsoft\.KeyVault/locations/[^/]+/deletedVaults/"
        fake.add(Route("GET", rf"{place}(?P<name>[^/]+)", self._deleted))

    def _deleted(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self._fake.arm.refuse(call):
            return refusal
        found = self.deleted.get(match["name"])
        if found is None:
            return missing(call.path)
        facts = {"vaultId": found["id"], "location": found["location"], "tags": found["tags"]}
        return Answer(200, {"id": call.path, "name": match["name"], "properties": facts})

    def _check_vault(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        name, wanted = call.path.rpartition("/")[2], body["properties"]
        recovers = wanted.get("createMode") == "recover"
        if said := "; ".join(_wrong_vault(name, wanted, (old or {}).get("properties") or {})):
            return error(400, "BadRequest", said)
        if old is None and name in self.taken:
            return error(409, "VaultAlreadyExists", f"The vault name '{name}' is already in use.")
        if name in self.deleted and not recovers:
            said = f"A vault with the same name already exists in deleted state: '{name}'."
            return error(409, "ConflictError", f"{said} You need to either recover or purge it.")
        if recovers and old is None and name not in self.deleted:
            return error(404, "VaultNotFound", f"No deleted vault '{name}' can be recovered.")
        self.deleted.pop(name, None)
        return None

    def _fill_vault(self, vault: Resource) -> None:
        vault["properties"].pop("createMode", None)  # said in requests alone
        vault["properties"]["vaultUri"] = f"https://{vault['name']}.vault.localhost/"

    def _keep(self, vault: Resource) -> Answer | None:
        self.deleted[vault["name"]] = vault
        return None

    def _check_registry(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        name, sku = call.path.rpartition("/")[2], body["sku"]["name"]
        if not re.fullmatch(r"[a-zA-Z0-9]{5,50}", name):
            said = f"The registry name {name} is invalid: 5 to 50 letters and digits."
            return error(400, "RegistryNameInvalid", said)
        if sku not in ("Basic", "Standard", "Premium"):
            return error(400, "InvalidSku", f"The SKU {sku} is unknown.")
        if body.get("properties", {}).get("publicNetworkAccess") == "Disabled" and sku != "Premium":
            return error(400, "FeatureNotSupported", f"Private networks need Premium, not {sku}.")
        if old is None and name in self.taken:
            return error(409, "AlreadyInUse", f"The registry DNS name {name} is already in use.")
        return None

    def _check_workspace(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        name, wanted = call.path.rpartition("/")[2], body["properties"]
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}", name):
            return error(400, "InvalidWorkspaceName", f"The workspace name {name} is invalid.")
        if said := "; ".join(self._wrong_parts(wanted, (old or {}).get("properties") or {})):
            return error(400, "ValidationError", said)
        account = self._fake.store.get(wanted["storageAccount"]) or {}
        by_key = wanted.get("systemDatastoresAuthMode", "AccessKey") == "AccessKey"
        if by_key and account["properties"].get("allowSharedKeyAccess") is False:
            said = "Key based authentication is not permitted on this storage account."
            return error(400, "KeyBasedAuthenticationNotPermitted", said)
        return None

    def _wrong_parts(self, wanted: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
        for key, type_ in STANDS_ON.items():
            found = self._fake.store.get(wanted[key])
            state = (found or {"properties": {}})["properties"].get("provisioningState")
            if found is None or found["type"].lower() != type_.lower() or state != "Succeeded":
                yield f"{key}: {wanted[key]} was not found, or is not ready"
            fixed = key in ("storageAccount", "keyVault")
            if fixed and before.get(key, wanted[key]).lower() != wanted[key].lower():
                yield f"{key} cannot be changed"

    def _open(self, workspace: Resource) -> None:
        """Its default datastore, by the keys of the storage account or as who is signed in."""
        account = workspace["properties"]["storageAccount"].rpartition("/")[2]
        self._fake.blobs.create(account, "azureml-blobstore")
        keys = workspace["properties"].get("systemDatastoresAuthMode") != "Identity"
        facts = {
            "datastoreType": "AzureBlob",
            "accountName": account,
            "containerName": "azureml-blobstore",
            "endpoint": self._fake.storage_suffix,
            "protocol": "https",
            "isDefault": True,
            "credentials": {"credentialsType": "AccountKey" if keys else "None"},
        }
        id_ = f"{workspace['id']}/datastores/workspaceblobstore"
        self._fake.store.put(id_, {"properties": facts, "systemData": {}})


def _wrong_vault(name: str, wanted: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]", name):
        yield f"The vault name {name} is invalid"
    if wanted.get("createMode") != "recover" and "accessPolicies" not in wanted:
        yield "accessPolicies are required"
    if wanted.get("enablePurgeProtection") is False:
        yield "enablePurgeProtection cannot be set to false"
    days = wanted.get("softDeleteRetentionInDays", 90)
    if not 7 <= days <= 90 or before.get("softDeleteRetentionInDays", days) != days:
        yield "softDeleteRetentionInDays is 7 to 90, and cannot be changed"


def _fill_registry(registry: Resource) -> None:
    registry["properties"]["loginServer"] = f"{registry['name']}.azurecr.localhost"


def _fill_identity(identity: Resource) -> None:
    facts = ("clientId", "principalId")
    named = {kind: str(uuid.uuid5(uuid.NAMESPACE_URL, kind + identity["id"])) for kind in facts}
    identity["properties"] |= named
