"""Names in the workspace, and the tags that say whose a thing is and what served before."""

from __future__ import annotations

from dataclasses import dataclass

MADE = "onnxferry"  # tag on all that deploying made; its value is the endpoint's name
VERSION = "onnxferry-version"  # tag on a deployment: 12 digits of its package's sha256
PREVIOUS = "onnxferry-previous"  # tag on the endpoint: the deployment that served before
ROLLING = "onnxferry-rolling-back"  # tag on the endpoint: where an unfinished roll-back went


@dataclass(frozen=True)
class Names:
    """The names for one endpoint."""

    subscription: str
    group: str
    workspace: str
    endpoint: str

    @property
    def where(self) -> str:
        """The endpoint, for people."""
        return f"endpoint {self.endpoint} of workspace {self.workspace}"

    @property
    def folder(self) -> str:
        """Where the datastore keeps the endpoint's files."""
        return f"onnxferry/{self.endpoint}"

    def files(self, kind: str, version: str) -> str:
        """The folder of one model or code; its last part is its name in the container, too."""
        return f"{self.folder}/{kind}-{version}/{kind}"

    def asset(self, version: str) -> str:
        """A version of model, code or environment, for people."""
        return f"{self.endpoint}:{version}"

    def id(self, kind: str, version: str) -> str:
        """The id of a version of model, code or environment."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers"
            f"/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
            f"/{kind}s/{self.endpoint}/versions/{version}"
        )

    def path(self, datastore: str, folder: str) -> str:
        """A folder of a datastore as a model's path."""
        return (
            f"azureml://subscriptions/{self.subscription}/resourcegroups/{self.group}"
            f"/workspaces/{self.workspace}/datastores/{datastore}/paths/{folder}"
        )
