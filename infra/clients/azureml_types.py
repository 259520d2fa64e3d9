"""What the client of a workspace gives, and what azure-ai-ml must be told of a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.infra.errors import BuildFailed, CloudError, NotHealthy, QuotaExceeded

_AUDIENCES = {  # of tokens for endpoints, by the cloud's storage suffix
    "core.windows.net": "https://ml.azure.com",
    "core.usgovcloudapi.net": "https://ml.azure.us",
    "core.chinacloudapi.cn": "https://ml.azure.cn",
}
# what a failed deployment means, by parts of what it says
_FAILURES: Mapping[type[CloudError], tuple[str, ...]] = {
    BuildFailed: ("imagebuildfailure", "environmentbuild", "image build"),
    QuotaExceeded: ("outofquota", "outofcapacity", "not enough quota"),
    NotHealthy: ("resourcenotready", "crashed", "usererror", "scoring script"),
}


@dataclass(frozen=True)
class ManagedEndpoint:
    """`traffic` and `mirror` are percentages by deployment, without zeros."""

    name: str
    state: str
    url: str
    auth_mode: str
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ManagedDeployment:
    """A deployment; `model` is the id of its model."""

    name: str
    state: str
    model: str
    instance_type: str
    instances: int
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Datastore:
    """A blob datastore: `url` is its storage account's."""

    name: str
    url: str
    container: str


def failure_of(code: str, said: str) -> type[CloudError] | None:
    """The error for what a failed deployment says; None for what any service may say."""
    text = f"{code} {said}".lower()
    return next((kind for kind, parts in _FAILURES.items() if any(p in text for p in parts)), None)


def audience(where: AzureEnvironment) -> str:
    """The scope of a token for endpoints."""
    return f"{_AUDIENCES.get(where.storage_suffix, where.resource_manager)}/.default"


def metadata(where: AzureEnvironment) -> Mapping[str, str] | None:
    """What azure-ai-ml must know of a cloud that it has no table of."""
    if where == AzureEnvironment():
        return None
    urls = ("azure_portal", "resource_manager", "aml_resource_id", "registry_discovery_endpoint")
    own = {"active_directory": f"{where.authority}/", "storage_endpoint": where.storage_suffix}
    return {**dict.fromkeys(urls, f"{where.resource_manager}/"), **own}
