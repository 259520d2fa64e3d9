"""Names in the workspace, and the marks that say whose a thing is and what served before.

A thing is ours where its name follows the pattern and it carries the mark MADE: a tag, or metadata
on a blob. A code gets the tag too, but nobody promises that the service keeps it: its mark is
that of its files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.scripts.package.azureml_batch import batch_name

MADE = "onnxferry"  # on all that deploying made; its value is the endpoint's name
VERSION = (
    "onnxferry-version"  # tag: 12 digits of the sha256 of the package that made it, or is live
)
DEPLOYED = "onnxferry-deployed"  # tag: when (ISO 8601, UTC)
COUNT = "onnxferry-instances"  # tag on a deployment: how many instances deploy.toml asked for
PREVIOUS = "onnxferry-previous"  # tag on the endpoint: the deployment that served before
ROLLING = "onnxferry-rolling-back"  # tag on the endpoint: where an unfinished roll-back went
SHADOW = "onnxferry-shadow"  # tag on the endpoint: the deployment that deploying gave copies to
COMING = "onnxferry-rolling-out"  # tag on the endpoint: what an unfinished roll-out brings


_VERSION = re.compile(r"[0-9a-f]{12}")
_DEPLOYMENT = re.compile(r"v[0-9a-f]{12}-[0-9a-f]{6}")
_FILE = re.compile(r"(?P<kind>model|code)-(?P<version>[0-9a-f]{12})/(?P=kind)/.+")

KINDS = ("model", "environment", "code")  # of what is registered
Version = tuple[str, str]  # one of KINDS, and its version


@dataclass(frozen=True)
class Names:
    """The names for one endpoint."""

    subscription: str
    group: str
    workspace: str
    endpoint: str

    @property
    def made(self) -> str:
        """The mark's value."""
        return self.endpoint

    @property
    def batch(self) -> str:
        """The batch endpoint beside it: both kinds have one space of names in a region, which are
        parts of their hosts' names."""
        return batch_name(self.endpoint)

    @property
    def where(self) -> str:
        """The endpoint, for people."""
        return f"endpoint {self.endpoint} of workspace {self.workspace}"

    @property
    def folder(self) -> str:
        """Where the datastore keeps the endpoint's files. Workspaces may share a datastore."""
        space = f"{self.subscription}/{self.group}/{self.workspace}".lower()
        return f"onnxferry/{self.endpoint}/{self.workspace}-{_digest(space)}"

    @property
    def lease(self) -> str:
        """The blob that says who works at the endpoint."""
        return f"{self.folder}/lease.json"

    def files(self, kind: str, version: str) -> str:
        """The folder of one model or code; its last part is its name in the container, too."""
        return f"{self.folder}/{kind}-{version}/{kind}"

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags or metadata carry this endpoint's mark."""
        return tags.get(MADE) == self.made

    def owns_deployment(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether deploying made the deployment."""
        return bool(_DEPLOYMENT.fullmatch(name)) and self.is_ours(tags)

    def owns_version(self, version: str, tags: Mapping[str, str]) -> bool:
        """Whether deploying registered this version of model, code or environment."""
        return bool(_VERSION.fullmatch(version)) and self.is_ours(tags)

    def file_of(self, blob: str) -> Version | None:
        """The model or code that a blob's name says it is a file of."""
        found = _FILE.fullmatch(blob.removeprefix(f"{self.folder}/"))
        inside = found and blob.startswith(f"{self.folder}/")
        return (found["kind"], found["version"]) if found and inside else None

    def version_of(self, id_: str) -> Version | None:
        """What of this endpoint's name an asset's id refers to."""
        *_, kinds, name, _, version = (*[""] * 4, *id_.split("/"))
        return (kinds.removesuffix("s"), version) if name == self.endpoint else None

    def asset(self, version: str) -> str:
        """A version of model, code or environment, for people."""
        return f"{self.endpoint}:{version}"

    def id(self, kind: str, version: str) -> str:
        """The id of a version of model, code or environment."""
        return f"{self.workspace_id}/{kind}s/{self.endpoint}/versions/{version}"

    def deployment_id(self, name: str) -> str:
        """The id of a deployment."""
        return f"{self.endpoint_id}/deployments/{name}"

    @property
    def endpoint_id(self) -> str:
        """The endpoint's id."""
        return f"{self.workspace_id}/onlineEndpoints/{self.endpoint}"

    def autoscale(self, deployment: str) -> str:
        """The name of a deployment's autoscale setting. Workspaces may share a resource group."""
        return f"onnxferry-{self.endpoint}-{deployment}-{_digest(self.workspace_id.lower())}"

    @property
    def workspace_id(self) -> str:
        """The workspace's id."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers"
            f"/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        )

    def path(self, datastore: str, folder: str) -> str:
        """A folder of a datastore as a model's path."""
        return (
            f"azureml://subscriptions/{self.subscription}/resourcegroups/{self.group}"
            f"/workspaces/{self.workspace}/datastores/{datastore}/paths/{folder}"
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
