"""What endpoint.yml and deployment.yml say by deploy.toml and the package's rehearsal, in the words
of azure-ai-ml's YAML. The package's own files say the rest: this is laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml import capture, kubernetes, request_limits
from onnxferry.infra.target_tables.azureml import AzureML, Managed
from onnxferry.scripts.rehearse.record import RehearsalRecord


def endpoint(settings: AzureML) -> dict[str, Any]:
    """Of the endpoint, without name and tags."""
    said: dict[str, Any] = {"auth_mode": settings.auth_mode}
    if isinstance(settings.serving, Managed):
        said["public_network_access"] = _access(settings.network.public)
    if settings.identity:
        own = [{"resource_id": settings.identity}]
        said["identity"] = {"type": "user_assigned", "user_assigned_identities": own}
    return {**said, **kubernetes.endpoint(settings)}


def deployment(settings: AzureML, record: RehearsalRecord | None = None) -> dict[str, Any]:
    """Of a deployment, without its name, its environment and its tags; `record` is of the last
    rehearsal of the package, if there was one."""
    serving = settings.serving
    said: dict[str, Any] = {
        "instance_type": serving.instance_type,
        "instance_count": serving.instance_count,
    }
    if variables := {**request_limits.variables(settings), **settings.environment}:
        said["environment_variables"] = variables
    if not settings.network.egress:  # where a workspace's own network rules, it is to be left out
        said["egress_public_network_access"] = _access(False)
    said |= request_limits.limits(settings, record)
    return {**said, **kubernetes.deployment(settings), **capture.collected(settings)}


def environment(settings: AzureML, package: Mapping[str, Any]) -> dict[str, Any]:
    """Of the environment, that of the `package`'s file unless an image is given; where it has no
    conda file, the image is used as it is."""
    given = settings.image not in ("conda", "prebuilt")
    said = {"image": settings.image} if given else dict(package)
    return {key: said[key] for key in ("image", "conda_file") if said.get(key)}


def _access(allowed: bool) -> str:
    return "enabled" if allowed else "disabled"


def over(package: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of the package says with what is `declared` over it, table by table."""
    both = {
        key: over(package.get(key) or {}, value)
        for key, value in declared.items()
        if isinstance(value, Mapping)
    }
    return {**package, **declared, **both}
