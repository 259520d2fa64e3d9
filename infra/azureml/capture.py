"""The data collector: requests and answers kept in the workspace's blobs."""

from __future__ import annotations

from typing import Any

from onnxferry.infra.target_tables.azureml import AzureML


def collected(settings: AzureML) -> dict[str, Any]:
    """What deployment.yml says of it."""
    return {}
