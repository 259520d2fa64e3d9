"""An endpoint on a Kubernetes cluster that is attached to the workspace, instead of on instances
that Azure keeps. Which of the two an endpoint is, and on which cluster, is settled when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.target_tables.azureml import AzureML, Kubernetes
from onnxferry.infra.target_tables.scaling import AzureMLScaling

UTILISATION = 70  # percent of the pods that are busy
COST = "runs on your cluster's nodes"
_ATTACHED = "see `az ml compute list --type kubernetes`, and compute in deploy.toml"


def endpoint(settings: AzureML) -> dict[str, Any]:
    """What endpoint.yml says of it."""
    serving = settings.serving
    return {"compute": f"azureml:{serving.compute}"} if isinstance(serving, Kubernetes) else {}


def deployment(settings: AzureML) -> dict[str, Any]:
    """What deployment.yml says of it."""
    serving, scaling = settings.serving, settings.scaling
    if not isinstance(serving, Kubernetes):
        return {}
    said: dict[str, Any] = {"type": "kubernetes"}
    if serving.cpu and serving.memory_mb:
        given = {"cpu": f"{serving.cpu:g}", "memory": f"{serving.memory_mb}Mi"}
        said["resources"] = {"requests": given, "limits": dict(given)}
    return {**said, "scale_settings": _scaled(scaling)} if scaling else said


def check(state: CurrentState, wanted: Mapping[str, Any]) -> None:
    """Raise Refused where the endpoint is another kind's, or on another cluster, than `wanted`,
    which is what endpoint.yml says."""
    if state.endpoint is None:
        return
    found = state.endpoint.compute.rpartition("/")[2]
    asked = str(wanted.get("compute", "")).rpartition(":")[2]
    if found.lower() != asked.lower():
        where = {"": "on instances of Azure's"}
        there, then = (where.get(one, f"on the cluster {one}") for one in (found, asked))
        raise Refused(
            f"{state.names.where}: it runs {there}, and cannot be moved to run {then}: Azure keeps"
            " an endpoint where it was made. Deploy under another name (--name, or name in [model]"
            " of deploy.toml), move your clients, and delete this one; or set serving in"
            " deploy.toml as it was"
        )


def check_cluster(clients: Clients, settings: AzureML) -> None:
    """Raise NotFound where the attached cluster is not there, and Refused where it is no cluster,
    is not ready, or has not the instance type."""
    serving = settings.serving
    if not isinstance(serving, Kubernetes):
        return
    where = f"compute {serving.compute} of workspace {settings.workspace}"
    found = clients.workspace.compute(serving.compute)
    if found is None:
        raise NotFound(f"{where}: nothing of that name is attached; {_ATTACHED}")
    if found.kind != "kubernetes":
        raise Refused(f"{where}: it is of the type {found.kind}, not kubernetes; {_ATTACHED}")
    if found.state != "Succeeded":
        raise Refused(f"{where}: its state is {found.state}; attach it again, or wait; {_ATTACHED}")
    kinds = sorted(found.properties.get("instanceTypes") or {})
    if kinds and serving.instance_type not in kinds:
        raise Refused(
            f"{where}: it has no instance type {serving.instance_type}, but {', '.join(kinds)}; set"
            " serving.instance_type in deploy.toml to one of them"
        )


def notes(state: CurrentState, settings: AzureML) -> tuple[str, ...]:
    """What to know of a deployment to a cluster."""
    if not isinstance(settings.serving, Kubernetes):
        return ()
    said = [f"Quota and cost are those of the cluster {settings.serving.compute}; not looked at."]
    if state.endpoint and state.endpoint.url.startswith("http://"):
        said.append(
            f"The endpoint's address, {state.endpoint.url}, is not encrypted: its key, requests and"
            " answers can be read on the way. Give the cluster's extension a certificate."
        )
    return tuple(said)


def _scaled(table: AzureMLScaling) -> dict[str, Any]:
    """By Azure's router in the cluster, which counts how many of the pods are busy."""
    polled = "scale_out_seconds" in table.model_fields_set
    return {
        "type": "target_utilization",
        "min_instances": table.min,
        "max_instances": table.max,
        "target_utilization_percentage": table.cpu_percent or UTILISATION,
        **({"polling_interval": table.scale_out_seconds} if polled else {}),
    }
