"""What is called how in the workspace, and the tags that say whose it is and what served before."""

from __future__ import annotations

from dataclasses import dataclass

MADE = "onnxferry"  # tag on all that deploying made; its value is the endpoint's name
VERSION = "onnxferry-version"  # tag on a deployment: 12 digits of its package's sha256
PREVIOUS = "onnxferry-previous"  # tag on the endpoint: the deployment that served before
# tag on the endpoint: the deployment that a roll-back, not yet at its end, went to
ROLLING = "onnxferry-rolling-back"


@dataclass(frozen=True)
class Names:
    """The names for the endpoint `endpoint` of a workspace."""

    subscription: str
    group: str
    workspace: str
    endpoint: str

    @property
    def folder(self) -> str:
        """Where the datastore keeps the endpoint's files."""
        return f"onnxferry/{self.endpoint}"

    def files(self, kind: str, version: str) -> str:
        """The folder of one model or of one code; its last part is the folder's name in the
        container, too."""
        return f"{self.folder}/{kind}-{version}/{kind}"

    def asset(self, version: str) -> str:
        """A version of the endpoint's model, code or environment, for people."""
        return f"{self.endpoint}:{version}"

    def id(self, kind: str, version: str) -> str:
        """The id of a version of the endpoint's model, code or environment."""
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
