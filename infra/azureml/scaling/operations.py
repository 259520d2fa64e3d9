"""How the steps of autoscaling are executed. Each public method is one Step.operation, and may be
done twice."""

from __future__ import annotations

from onnxferry.infra.azureml.names import MADE, Names
from onnxferry.infra.azureml.scaling.state import found_of
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Step


class ScalingOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names

    def put_autoscale(self, step: Step) -> None:
        """Create a deployment's autoscale setting, or change it. Raises Refused where one of that
        name is not ours, or where the deployment has another."""
        self._is_there(step)
        body = {key: step.parameters[key] for key in ("location", "tags", "properties")}
        self.clients.monitor.put_autoscale_setting(self.names.group, step.name, body)

    def delete_autoscale(self, step: Step) -> None:
        """Delete a deployment's autoscale setting. Raises Refused where it is not ours."""
        if self._is_there(step):
            self.clients.monitor.delete_autoscale_setting(self.names.group, step.name)

    def _is_there(self, step: Step) -> bool:
        """Whether there is a setting of that name, which is ours."""
        there = self.clients.monitor.autoscale_setting(self.names.group, step.name)
        if there is None:
            return False
        found = found_of(self.names, there)
        if found is None or not found.ours or found.deployment != step.parameters["deployment"]:
            raise Refused(
                f"autoscale setting {step.name} of resource group {self.names.group}: it is there,"
                f" and is not onnxferry's of deployment {step.parameters['deployment']} (no tag"
                f" {MADE}={self.names.made}, or another target), so it stays as it is. Rename or"
                " delete it, and run the command again"
            )
        return True
