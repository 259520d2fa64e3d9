"""Storage accounts and their containers at the resource manager; the blobs themselves are in
../blob.py.

Who creates an account may not touch its blobs by that alone: that needs a data role, as on Azure.
"""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.blob import FakeBlobs
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

_ACCOUNT = {
    "location": NEEDED,
    "kind": NEEDED,
    "sku": {NEEDED: True, "name": NEEDED},
    "tags": ANY,
    "properties": {
        "allowBlobPublicAccess": MAY,
        "allowSharedKeyAccess": MAY,
        "minimumTlsVersion": MAY,
        "supportsHttpsTrafficOnly": MAY,
        "defaultToOAuthAuthentication": MAY,
    },
}
_CONTAINER = {"properties": {"publicAccess": MAY, "metadata": ANY}}


class StorageAccounts:
    """`taken` holds names that belong to somebody else."""

    def __init__(self, fake: AzureFake, blobs: FakeBlobs) -> None:
        self.taken: set[str] = set()
        self._fake, self._blobs = fake, blobs
        below = "Microsoft.Storage/storageAccounts"
        self.types = (
            ResourceType(
                below,
                _ACCOUNT,
                slow=True,
                location=True,
                created=202,
                deletes_slowly=False,
                fill=self._fill,
                check=self._check,
                ends=self._ends,
                on_delete=self._on_delete,
            ),
            ResourceType(
                f"{below}/blobServices/containers",
                _CONTAINER,
                ends=self._container,
                on_delete=self._no_container,
            ),
            *(
                ResourceType(f"{below}/{kind}", {})
                for kind in ("fileServices/shares", "queueServices/queues", "tableServices/tables")
            ),
        )
        self.routes = (
            Route(
                "POST",
                r"/subscriptions/[^/]+/providers/Microsoft\.Storage/checkNameAvailability",
                self._available,
            ),
            Route(
                "GET",
                r"/subscriptions/.+/storageAccounts/[^/]+/blobServices/default/containers",
                self._listed,
            ),
        )

    def _listed(self, call: Call, match: re.Match[str]) -> Answer:
        """The containers without their metadata, which only a GET of one has."""
        if refusal := self._fake.arm.refuse(call):
            return refusal
        if self._fake.store.get(call.path.partition("/blobServices/")[0]) is None:
            return missing(call.path.partition("/blobServices/")[0])
        found = self._fake.store.children(call.path)
        return Answer(200, {"value": [{**one, "properties": {}} for one in found]})

    def _available(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self._fake.arm.refuse(call):
            return refusal
        name = call.json["name"].lower()
        if name in self.taken or any(
            a["name"] == name for a in self._fake.store.all("Microsoft.Storage/storageAccounts")
        ):
            said = f"The storage account named {name} is already taken."
            return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": said})
        return Answer(200, {"nameAvailable": True})

    def _check(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        name = call.path.rpartition("/")[2]
        if not re.fullmatch(r"[a-z0-9]{3,24}", name):
            return error(400, "AccountNameInvalid", f"{name} is not a valid storage account name.")
        if name in self.taken:
            return error(
                409,
                "StorageAccountAlreadyTaken",
                f"The storage account named {name} is already taken.",
            )
        return None

    def _fill(self, resource: Resource) -> None:
        host = f"{resource['name']}.blob.core.localhost:{self._fake.port}"
        resource["properties"]["primaryEndpoints"] = {"blob": f"https://{host}/"}

    def _ends(self, resource: Resource) -> None:
        name = resource["name"]
        if name not in self._blobs.accounts:
            self._blobs.denied.add(name)
        self._blobs.create(name)
        if resource["properties"].get("allowSharedKeyAccess") is False:
            self._blobs.keyless.add(name)

    def _on_delete(self, resource: Resource) -> None:
        self._blobs.accounts.pop(resource["name"], None)

    def _container(self, resource: Resource) -> None:
        self._blobs.create(_account(resource), resource["name"])

    def _no_container(self, resource: Resource) -> None:
        self._blobs.accounts.get(_account(resource), {}).pop(resource["name"], None)


def _account(resource: Resource) -> str:
    found = re.search(r"/storageAccounts/([^/]+)/", resource["id"], re.IGNORECASE)
    return found[1].lower() if found else ""
