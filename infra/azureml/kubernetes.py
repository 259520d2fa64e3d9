"""An endpoint on a Kubernetes cluster that is attached to the workspace, instead of on instances
that Azure keeps."""

from __future__ import annotations

from typing import Any

from onnxferry.infra.target_tables.azureml import AzureML


def endpoint(settings: AzureML) -> dict[str, Any]:
    """What endpoint.yml says of it."""
    return {}


def deployment(settings: AzureML) -> dict[str, Any]:
    """What deployment.yml says of it."""
    return {}
