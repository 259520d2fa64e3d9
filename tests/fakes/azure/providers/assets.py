"""What is registered in a workspace: versions of models, environments and codes. Their files are
blobs: at a path of the workspace's datastore, or, of a code that is about to be uploaded, in a
container of its own that the service makes for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import now
from tests.fakes.azure.shapes import ANY, MAY, NEEDED, complaints
from tests.fakes.azure.store import Resource

WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
SAS = "sv=2025-01-05&sig=a-signature-that-must-never-be-printed"
ACCOUNT, CONTAINER = "wsstore", "azureml-blobstore"

_ASSET = {"tags": ANY, "properties": ANY, "description": MAY, "isAnonymous": MAY, "isArchived": MAY}
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "models": {"modelUri": NEEDED, "modelType": MAY, "stage": MAY, "flavors": ANY},
    "environments": {"image": NEEDED, "condaFile": MAY, "osType": MAY},
    "codes": {"codeUri": NEEDED},
    "data": {"dataUri": NEEDED, "dataType": NEEDED},
}
_PENDING = {"pendingUploadType": NEEDED, "pendingUploadId": MAY}
_URIS = ("modelUri", "codeUri", "condaFile", "image", "dataUri")
_SPACE = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/" + re.escape(WORKSPACES) + "/[^/]+"
_PATH = re.compile(r"azureml://.+/datastores/[^/]+/paths/(?P<folder>.+?)/?")
_URL = re.compile(
    r"https://(?P<account>\w+)\.blob\.[^/]+/(?P<container>[^/]+)(/(?P<folder>.+?))?/?"
)


@dataclass
class Assets:
    """`undeletable` are kinds of assets ("codes") that are only archived."""

    azure: AzureFake
    undeletable: set[str] = field(default_factory=set)

    @property
    def types(self) -> tuple[ResourceType, ...]:
        return tuple(self._type(kind, own) for kind, own in _KINDS.items())

    @property
    def routes(self) -> tuple[Route, ...]:
        versions = rf"{_SPACE}/(models|environments|codes|data)/[^/]+/versions"
        pending = rf"{_SPACE}/codes/[^/]+/versions/[^/]+/startPendingUpload"
        return Route("GET", versions, self._versions), Route("POST", pending, self._pending)

    def files(self, asset: Resource, key: str) -> dict[str, bytes]:
        """The files below the folder that a model's or a code's URI names."""
        uri = asset.get("properties", {}).get(key, "")
        found = _PATH.fullmatch(uri) or _URL.fullmatch(uri)
        if found is None:
            return {}
        place = {"container": CONTAINER, **found.groupdict()}
        folder = f"{place['folder']}/" if place["folder"] else ""
        accounts = self.azure.blobs.accounts  # a path names none: its folder is one workspace's
        within = [accounts[place["account"]]] if "account" in place else accounts.values()
        return {
            name[len(folder) :]: blob.data or b""
            for account in within
            for name, blob in account.get(place["container"], {}).items()
            if name.startswith(folder)
        }

    def _type(self, kind: str, own: Mapping[str, Any]) -> ResourceType:
        return ResourceType(
            f"{WORKSPACES}/{kind}/versions",
            {"properties": {NEEDED: True, **_ASSET, **own}},
            fill=_fill,
            check=_check,
            on_delete=lambda resource: self._check_deletable(kind),
        )

    def _check_deletable(self, kind: str) -> Answer | None:
        if kind not in self.undeletable:
            return None
        return error(405, "MethodNotAllowed", f"DELETE is not supported on {kind}; archive it.")

    def _versions(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        found = self.azure.store.children(call.path)
        if wanted := call.query.get("hash"):  # of a code that may have been uploaded before
            return Answer(200, {"value": [one for one in found if _hash(one) == wanted]})
        if not found:
            return error(404, "UserError", f"Could not find asset {call.path.split('/')[-2]}")
        if call.query.get("listViewType", "ActiveOnly") == "ActiveOnly":
            found = [one for one in found if not one["properties"].get("isArchived")]
        return Answer(200, {"value": found})

    def _pending(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        wrong = [*complaints(call.json, _PENDING)]
        if wrong or call.json["pendingUploadType"] != "TemporaryBlobReference":
            return error(400, "InvalidRequestContent", f"{wrong}: {call.json}")
        container = uuid.uuid4().hex
        self.azure.blobs.create(ACCOUNT, container)
        uri = f"https://{ACCOUNT}.blob.{self.azure.storage_suffix}/{container}"
        secret = {"credentialType": "SAS", "sasUri": f"{uri}?{SAS}"}
        reference = {"blobUri": uri, "storageAccountArmId": "", "credential": secret}
        kind = {"pendingUploadType": "TemporaryBlobReference", "pendingUploadId": container}
        return Answer(200, {"blobReferenceForConsumption": reference, **kind})


def stamped() -> dict[str, Any]:
    """What the service notes of who made a thing, and when."""
    who = {
        "createdBy": "someone",
        "createdByType": "User",
        "createdAt": now(),
        "lastModifiedAt": now(),
    }
    return {"systemData": who}


def forget(call: Call, old: Resource | None) -> None:
    """A PUT replaces what a resource was: what its body does not have is gone."""
    if old and call.method == "PUT":
        own = ("provisioningState", "scoringUri", "swaggerUri")
        old["properties"] = {key: old["properties"][key] for key in own if key in old["properties"]}


def _check(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
    if old and any(old["properties"].get(key) != body["properties"].get(key) for key in _URIS):
        return error(
            400, "UserError", "A version that is registered cannot be given other content."
        )
    forget(call, old)
    return None


def _fill(resource: Resource) -> None:
    properties = resource["properties"]
    for key in ("tags", "properties", *(["flavors"] if "modelUri" in properties else [])):
        properties[key] = properties.get(key) or {}
    resource |= stamped()


def _hash(code: Resource) -> str:
    return str(code["properties"]["properties"].get("hash_sha256", ""))
