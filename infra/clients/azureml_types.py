"""What the client of a workspace gives, and what azure-ai-ml must be told of a cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.infra.errors import BuildFailed, CloudError, NameTaken, NotHealthy, QuotaExceeded

_AUDIENCES = {  # of tokens for endpoints, by the cloud's storage suffix
    "core.windows.net": "https://ml.azure.com",
    "core.usgovcloudapi.net": "https://ml.azure.us",
    "core.chinacloudapi.cn": "https://ml.azure.cn",
}
# what a refusal means, by the kind of resource and parts of what is said
_FAILURES: Mapping[str, Mapping[type[CloudError], tuple[str, ...]]] = {
    "endpoint": {NameTaken: ("already an endpoint with this name", "unique within")},
    "deployment": {
        BuildFailed: ("imagebuildfailure", "environmentbuild", "image build"),
        QuotaExceeded: ("outofquota", "outofcapacity", "not enough quota"),
        NotHealthy: ("resourcenotready", "crashed", "usererror", "scoring script"),
    },
}


@dataclass(frozen=True)
class ManagedEndpoint:
    """`traffic` and `mirror` are percentages by deployment, without zeros. `public` is whether it
    takes requests from the internet, `identities` the ids, in small letters, of the user-assigned
    identities that it has; none where it has one of its own. `compute` is the id of the Kubernetes
    cluster that it runs on, "" where it runs on Azure's instances."""

    name: str
    state: str
    url: str
    auth_mode: str
    traffic: Mapping[str, int]
    mirror: Mapping[str, int]
    tags: Mapping[str, str]
    public: bool = True
    identities: frozenset[str] = frozenset()
    compute: str = ""


@dataclass(frozen=True)
class ManagedDeployment:
    """A deployment; `assets` are the ids of its model, code and environment, `settings` those of
    its YAML schema that can be read back: variables, limits of requests, probes, egress, and of a
    pod its resources and how many there are. `collected` are the collections of its data
    collector."""

    name: str
    state: str
    assets: Mapping[str, str]
    instance_type: str
    instances: int
    tags: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    collected: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AttachedCompute:
    """A compute of a workspace; `kind` is "kubernetes", "amlcompute" or the like."""

    kind: str
    state: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Datastore:
    """A blob datastore: `url` is its storage account's."""

    name: str
    url: str
    container: str


def failure_of(resource: str, said: str) -> type[CloudError] | None:
    """The error for what is `said` of a kind of resource ("deployment"); None for what any service
    may say."""
    text, known = said.lower(), _FAILURES.get(resource, {})
    return next((kind for kind, parts in known.items() if any(p in text for p in parts)), None)


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
