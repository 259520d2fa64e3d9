"""What a resource costs while it is there, in words: a table, by target and kind of resource."""

from __future__ import annotations

from collections.abc import Mapping

HOURLY = "billed by the hour"
USED = "billed by what is used, and by what is kept ready"
_STORED = "billed by what it stores"
_MONTHLY = "billed by the month"
_REQUESTS = "billed by request, nothing while nobody calls it"
_KEPT = "takes space in the server's store"  # which may be a folder here
_INGESTED = "billed by what it takes in"

COSTS: Mapping[str, Mapping[str, str]] = {  # what is not named costs nothing
    "sagemaker": {
        "endpoint": HOURLY,
        "shadow": HOURLY,
        "package": _STORED,
        "log group": _STORED,
        "alarm": _MONTHLY,
        "autoscaling": "billed by its CloudWatch alarms",
        "transform job": HOURLY,
    },
    "azureml": {
        "deployment": HOURLY,
        "batch job": HOURLY,
        "model files": _STORED,
        "code files": _STORED,
        "files": _STORED,
        "environment": "its image is stored in the workspace's registry",
        "captured data": _STORED,
        "Log Analytics workspace": _INGESTED,
        "Application Insights": _INGESTED,
        "storage account": _STORED,
        "key vault": _REQUESTS,
        "container registry": "billed by the day, and by what it stores",
        "cluster": "billed by the hour for each node, nothing while no job runs",
    },
    "mlflow": {
        **dict.fromkeys(("files", "logged model", "run"), _KEPT),
        **dict.fromkeys(("model files", "package"), _STORED),
        **dict.fromkeys(("endpoint", "deployment"), HOURLY),
        "log group": _STORED,
    },
    "functions": {
        "app": _REQUESTS,
        "package": _STORED,
        "container": _STORED,
        "Log Analytics workspace": _INGESTED,
        "Application Insights": _INGESTED,
    },
}


def cost(target: str, resource: str) -> str:
    """What a `resource` of `target` costs; "" where it costs nothing."""
    return COSTS.get(target, {}).get(resource, "")


def with_cost(target: str, resource: str, name: str) -> str:
    """A resource with its cost, for people."""
    costs = cost(target, resource)
    return f"{resource} {name} ({costs})" if costs else f"{resource} {name}"
