"""Datastores, endpoints and deployments as the client of a workspace gives them; why a deployment
failed; and what azure-ai-ml must be told of a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.infra.errors import BuildFailed, CloudError, NotHealthy, QuotaExceeded

_AUDIENCES = {  # of tokens for endpoints, by the cloud's storage suffix
    "core.windows.net": "https://ml.azure.com",
    "core.usgovcloudapi.net": "https://ml.azure.us",
    "core.chinacloudapi.cn": "https://ml.azure.cn",
}
# a part of what a failed deployment says -> what it means
_FAILURES: tuple[tuple[str, type[CloudError]], ...] = (
    ("imagebuildfailure", BuildFailed),
    ("environmentbuild", BuildFailed),
    ("image build", BuildFailed),
    ("outofquota", QuotaExceeded),
    ("outofcapacity", QuotaExceeded),
    ("not enough quota", QuotaExceeded),
    ("resourcenotready", NotHealthy),
    ("crashed", NotHealthy),
    ("usererror", NotHealthy),
    ("scoring script", NotHealthy),
)


@dataclass(frozen=True)
class ManagedEndpoint:
    """An online endpoint. `traffic` and `mirror` are percentages by deployment, without zeros."""

    name: str
    state: str
    url: str
    auth_mode: str
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ManagedDeployment:
    """A deployment of an endpoint; `model` is the id of its model."""

    name: str
    state: str
    model: str
    instance_type: str
    instances: int
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Datastore:
    """A blob datastore: `url` is its storage account's."""

    name: str
    url: str
    container: str


def failure_of(code: str, said: str) -> type[CloudError] | None:
    """The error for what a failed deployment says; None for what any service may say."""
    text = f"{code} {said}".lower()
    return next((kind for part, kind in _FAILURES if part in text), None)


def audience(where: AzureEnvironment) -> str:
    """What a token for endpoints is asked for."""
    return f"{_AUDIENCES.get(where.storage_suffix, where.resource_manager)}/.default"


def metadata(where: AzureEnvironment) -> Mapping[str, str] | None:
    """What azure-ai-ml must know of a cloud that it has no table of."""
    if where == AzureEnvironment():
        return None
    urls = ("azure_portal", "resource_manager", "aml_resource_id", "registry_discovery_endpoint")
    own = {"active_directory": f"{where.authority}/", "storage_endpoint": where.storage_suffix}
    return {**dict.fromkeys(urls, f"{where.resource_manager}/"), **own}
