"""From the registry on to an endpoint that serves the model: at SageMaker, by mlflow.deployments,
or in a workspace of AzureML, without code.

Each is the cloud of that platform's own target with another way in: what is deployed is the MLflow
model folder, and it is asked in the form that MLflow's server, or Azure's, takes.
"""

from __future__ import annotations

from onnxferry.infra.cloud import OnlineEndpoint
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.mlflow import cloud
from onnxferry.system.errors import UsageError
from onnxferry.targets import load

_PLATFORMS = {"sagemaker": "aws", "azureml": "azure"}  # and what pip installs for it


def connect(config: DeployConfig, name: str) -> OnlineEndpoint:
    """The registered model `name`, with the endpoint that [mlflow] names. Connects at the first
    call. Raises UsageError."""
    registry = cloud.connect(config, name)
    platform = registry.settings.deploy_to
    if platform not in _PLATFORMS:
        return registry
    from onnxferry.infra.mlflow.endpoints.served import ServedRegistry

    try:
        reach = load(f"{__name__}.{platform}:connect")
    except ModuleNotFoundError as e:
        remedy = f"pip install 'onnxferry[mlflow,{_PLATFORMS[platform]}]'"
        said = f'mlflow.deploy_to = "{platform}" needs the library {e.name}: {remedy}'
        raise UsageError(said) from e
    return ServedRegistry(registry, reach(config, name), platform)
