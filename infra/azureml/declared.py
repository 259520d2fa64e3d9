"""What endpoint.yml and deployment.yml say by deploy.toml and the package's rehearsal, in the words
of azure-ai-ml's YAML. The package's own files say the rest: this is laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml import capture, kubernetes
from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.scripts.rehearse.record import RehearsalRecord


def endpoint(settings: AzureML) -> dict[str, Any]:
    """Of the endpoint, without name and tags."""
    return {"auth_mode": settings.auth_mode, **kubernetes.endpoint(settings)}


def deployment(settings: AzureML, record: RehearsalRecord | None = None) -> dict[str, Any]:
    """Of a deployment, without its name, its environment and its tags; `record` is of the last
    rehearsal of the package, if there was one."""
    serving = settings.serving
    runs = {"instance_type": serving.instance_type, "instance_count": serving.instance_count}
    return {**runs, **kubernetes.deployment(settings), **capture.collected(settings)}


def over(package: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of the package says with what is `declared` over it, table by table."""
    both = {
        key: over(package.get(key) or {}, value)
        for key, value in declared.items()
        if isinstance(value, Mapping)
    }
    return {**package, **declared, **both}
