"""What SageMaker has of an endpoint that mlflow.deployments makes. Only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.mlflow.endpoints.sagemaker_desired import DesiredModel
from onnxferry.infra.mlflow.endpoints.sagemaker_names import APP_TAG
from onnxferry.infra.sagemaker import execution_role, state, storage
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names
from onnxferry.infra.sagemaker.packages import Package, Packages, packages
from onnxferry.infra.sagemaker.state import Prerequisites, Tagged


def read(clients: AwsClients, names: Names) -> state.CurrentState:
    """The endpoint now; configurations that a run left before it marked them count as ours."""
    found = state.read(clients, names)
    left = {name: unmarked(clients, names, name) for name in found.foreign if "-config-" in name}
    ours = {name: tagged for name, tagged in left.items() if tagged}
    foreign = tuple(name for name in found.foreign if name not in ours)
    return replace(found, configs={**found.configs, **ours}, foreign=foreign)


def unmarked(clients: AwsClients, names: Names, config: str) -> Tagged | None:
    """A configuration that mlflow.deployments made for us, without our mark yet: it is named as
    ours, and so is its model, which carries it."""
    where = f"endpoint configuration {config}"
    found: Mapping[str, Any] | None = state.described_config(clients, config)
    if found is None or not names.version_of(config):
        return None
    tags = state.tags_of(clients, found["EndpointConfigArn"], where)
    if tags.get(APP_TAG) not in (names.endpoint, names.candidate) or ENDPOINT_TAG in tags:
        return None
    model = found["ProductionVariants"][0]["ModelName"]
    described = clients.call_if_there(
        "sagemaker", "describe_model", f"model {model}", ModelName=model
    )
    marks = state.tags_of(clients, described["ModelArn"], f"model {model}") if described else {}
    return (
        Tagged(found["EndpointConfigArn"], tags) if marks.get(ENDPOINT_TAG) == names.made else None
    )


def read_prerequisites(
    clients: AwsClients, desired: DesiredModel, manifest: Upload
) -> Prerequisites:
    """What is there of what the model stands on; as its package, the state of its `manifest`.
    Raises NameTaken or NotFound."""
    names = desired.names
    made = execution_role.described_role(clients, names) if desired.role else None
    policies = execution_role.role_policies(clients, names)[0] if made else None
    boundary = execution_role.boundary_of(made) if made else ""
    bucket = storage.bucket_state(clients, names)
    if bucket == "absent":
        return Prerequisites(bucket, "absent", policies, Packages(names.bucket, ""), boundary)
    stored = storage.golden_stored(clients, names, manifest)
    found = tuple(_packages(clients, names))
    return Prerequisites(bucket, stored, policies, Packages(names.bucket, "", found), boundary)


def _packages(clients: AwsClients, names: Names) -> Iterator[Package]:
    for folder in names.package_folders:
        yield from packages(clients, names, names.bucket, folder).found
