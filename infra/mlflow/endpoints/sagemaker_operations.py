"""What is done at SageMaker for an MLflow model, beside what infra.sagemaker does. Each public
method is one Step.operation, and may be done twice."""

from __future__ import annotations

from pathlib import Path

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError
from onnxferry.infra.mlflow.endpoints.sagemaker_state import unmarked
from onnxferry.infra.mlflow.endpoints.specs import mlflow_golden_in
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import plan, state, storage
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.operations import Operations
from onnxferry.infra.sagemaker.smoke import SmokeTest
from onnxferry.system.errors import PackageError
from onnxferry.system.hashes import sha256


class MlflowOperations(Operations):
    """The operations at one endpoint."""

    def put_manifest(self, step: Step) -> None:
        """Put the manifest where the archive will be."""
        storage.put_golden(self.clients, Upload(**step.parameters))

    def create_deployment(self, step: Step) -> None:
        """Let mlflow.deployments make archive, model, configuration and endpoint; it does not wait.
        Raises PackageError for a package that has changed since the plan."""
        from onnxferry.infra.clients.mlflow_deployments import create_deployment

        facts = dict(step.parameters)
        package, names = Path(facts["package"]), self.names
        for path, digest in facts["files"].items():
            if sha256(package / path) != digest:
                raise PackageError(f"{package / path}: changed since the plan; deploy again")
        self.progress(f"mlflow.deployments uploads {package}")
        settings = {**facts["settings"], "tags": dict(facts["settings"]["tags"])}
        create_deployment(self.clients, facts["endpoint"], package, facts["suffix"], settings)
        if state.described_config(self.clients, facts["config"]) is None:
            raise CloudError(
                f"AWS {names.region}, endpoint {facts['endpoint']}: mlflow.deployments did not make"
                f" the configuration {facts['config']}, so this release of mlflow names what it"
                " makes otherwise. Install mlflow>=2.22,<3.18"
            )

    def mark_config(self, step: Step) -> None:
        """Tag the configuration, which mlflow.deployments gives no tag of ours."""
        where, call = f"{step.resource} {step.name}", self.clients.call
        named = {"EndpointConfigName": step.name}
        found = call("sagemaker", "describe_endpoint_config", where, **named)
        request = {"ResourceArn": found["EndpointConfigArn"], "Tags": step.parameters["Tags"]}
        call("sagemaker", "add_tags", where, **request)

    def delete_deployment(self, step: Step) -> None:
        """Delete what mlflow.deployments made of an endpoint, as far as it came."""
        facts = step.parameters
        self.delete_endpoint(
            plan.deleted("endpoint", facts["endpoint"], "", seen=[facts["config"]])
        )
        self.delete_config(plan.deleted_config(facts["config"]))
        self.delete_model(plan.deleted_model(facts["model"]))

    def smoke(self, step: Step) -> None:
        """See SmokeTest: the golden request as MLflow's server takes it."""
        smoke_test(self.clients).run(step.name, step.parameters["package"])

    def _is_ours(self, kind: str, step: Step) -> bool:
        if super()._is_ours(kind, step) or kind == "Model":
            return super()._is_ours(kind, step)
        return unmarked(self.clients, self.names, step.name) is not None


def smoke_test(clients: AwsClients) -> SmokeTest:
    """Sends golden requests in MLflow's form."""
    return SmokeTest(clients, mlflow_golden_in)
