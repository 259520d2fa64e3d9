"""How the deployment of a workspace's template is executed: each public method is one
Step.operation, and may be done twice."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.azureml.workspace.names import WorkspaceNames
from onnxferry.infra.clients.azure import AzureSession, Wait
from onnxferry.infra.clients.azure_deployments import Deployments
from onnxferry.infra.clients.azureml import Workspace
from onnxferry.infra.errors import NotAllowed
from onnxferry.infra.plan import Step
from onnxferry.infra.templates.following import FollowedDeployment


@dataclass(frozen=True)
class WorkspaceOperations:
    """The operations on one workspace's template; `wait` waits for what they begin."""

    session: AzureSession
    names: WorkspaceNames
    wait: Wait

    def wait_for_template(self, step: Step) -> None:
        """Wait for the end of a deployment that an earlier run has begun, whichever it is."""
        self._deployment(step).wait_for_others()

    def begin_template(self, step: Step) -> None:
        """Begin the deployment."""
        facts = step.parameters
        self._deployment(step).begin(facts["template"], facts["values"])

    def follow_resource(self, step: Step) -> None:
        """Wait until the deployment has made or changed one resource."""
        self._deployment(step).follow(step)

    def finish_template(self, step: Step) -> None:
        """Wait for the end of the deployment."""
        self._deployment(step).finish(step)

    def open_storage(self, step: Step) -> None:
        """Wait until the roles of who is signed in open the workspace and its files, which takes
        Azure some minutes: then `deploy` works."""
        workspace = Workspace(self.session, self.names.group, self.names.workspace)

        def closed() -> str | None:
            try:
                workspace.blobs().list("onnxferry/")
            except NotAllowed:
                return "waiting for the signed-in user's roles to take effect"
            return None

        self.wait(str(step), closed)

    def _deployment(self, step: Step) -> FollowedDeployment:
        deployments = Deployments(self.session, self.names.group)
        return FollowedDeployment(deployments, step.parameters["deployment"], self.wait)
