"""All that onnxferry made in a subscription: endpoints, deployments and autoscale settings, which
Azure lists by their tag in all workspaces; and what is registered and stored, which only its own
workspace can list, so in this one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from onnxferry.infra.azureml.batch import jobs as batch_jobs
from onnxferry.infra.azureml.names import DEPLOYED, MADE, VERSION, Names
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azure_groups import Groups, TaggedResource
from onnxferry.infra.cloud import Listed

_ONLINE = "microsoft.machinelearningservices/workspaces/onlineendpoints"
_BATCH = "microsoft.machinelearningservices/workspaces/batchendpoints"
_KINDS = {
    _ONLINE: "endpoint",
    f"{_ONLINE}/deployments": "deployment",
    "microsoft.insights/autoscalesettings": "autoscale setting",
    _BATCH: "batch endpoint",
    f"{_BATCH}/deployments": "batch deployment",
    "microsoft.machinelearningservices/workspaces/computes": "cluster",
}
_FILE = re.compile(
    r"onnxferry/(?:mlflow/)?[^/]+/[^/]+/(?P<kind>model|code)-(?P<version>[0-9a-f]{12})/.+"
)


def listed(clients: Clients, names: Names) -> list[Listed]:
    """What onnxferry made. Raises CloudError."""
    found = Groups(clients.session).resources_tagged(MADE)
    online = [_resource(one) for one in found if one.type.lower() in _KINDS]
    files = list(_files(clients, names))
    endpoints = sorted({one.endpoint for one in (*online, *files)})
    jobs = _jobs(clients, names, (one for one in found if one.type.lower() == _BATCH))
    return [*online, *jobs, *files, *_registered(clients, names, endpoints)]


def _resource(one: TaggedResource) -> Listed:
    parts = one.id.split("/")
    within = parts[8] if len(parts) > 9 else f"resource group {parts[4]}"
    kind, place = _KINDS[one.type.lower()], f"{within}, {one.location}"
    found = _listed(kind, one.name, one.tags, one.state, place)
    return replace(found, instance_hours=24.0 * one.capacity)


def _jobs(clients: Clients, names: Names, endpoints: Iterable[TaggedResource]) -> Iterator[Listed]:
    """The batch jobs of this workspace that are at work, however many instances they have."""
    for one in endpoints:
        if one.id.lower().startswith(f"{names.workspace_id.lower()}/"):
            of = replace(names, endpoint=one.tags[MADE])
            for job in (job for job in batch_jobs.found(clients, of) if job.running):
                tags = {MADE: of.made, VERSION: job.version}
                listed = _listed(batch_jobs.KIND, job.name, tags, job.state, names.workspace)
                yield replace(listed, instance_hours=None)


def _files(clients: Clients, names: Names) -> Iterator[Listed]:
    """One for all files of a model or a code."""
    store, blobs = clients.workspace.opened()
    seen = set()
    for name, metadata in blobs.list("onnxferry/").items():
        found, endpoint = _FILE.fullmatch(name), metadata.get(MADE, "")
        if not found or not name.startswith(f"onnxferry/{endpoint}/"):
            continue
        kind, asset = f"{found['kind']} files", f"{endpoint}:{found['version']}"
        if (kind, asset) not in seen:
            seen.add((kind, asset))
            # the names of a blob's metadata have no hyphens
            tags = {
                key: metadata.get(key.replace("-", ""), "") for key in (MADE, VERSION, DEPLOYED)
            }
            yield _listed(kind, asset, tags, "stored", f"{names.workspace}, {store.name}")


def _registered(clients: Clients, names: Names, endpoints: Iterable[str]) -> Iterator[Listed]:
    for endpoint in endpoints:
        for kind in ("model", "environment"):
            name = endpoint.rpartition("/")[2]
            for version, (tags, _) in clients.workspace.versions(kind, name).items():
                if tags.get(MADE) == endpoint:
                    asset = f"{name}:{version}"
                    yield _listed(kind, asset, tags, "registered", names.workspace)


def _listed(kind: str, name: str, tags: Mapping[str, str], state: str, place: str) -> Listed:
    """What the marks in `tags` say of a resource."""
    endpoint, version, deployed = (tags.get(key, "") for key in (MADE, VERSION, DEPLOYED))
    return Listed(kind, name, endpoint, version, state, deployed, place)
