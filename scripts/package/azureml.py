"""AzureML: a folder for `az ml online-endpoint create -f endpoint.yml`, then the same with
online-deployment and deployment.yml."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.endpoint_name import endpoint_name
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest/managedOnline"
_THREADS = 2  # requests at a time: one for each core of the instance type


def added(model: CheckedModel) -> list[Entry]:
    """The three YAML files."""
    name = endpoint_name(model.spec.name)
    schema = f"{_SCHEMAS}Endpoint.schema.json"
    files = {
        "env.yml": environment(model.libraries, model.python),
        "endpoint.yml": {"$schema": schema, "name": name, "auth_mode": "key"},
        "deployment.yml": deployment(name),
    }
    return [Entry(file, _yaml(content)) for file, content in files.items()]


def environment(libraries: tuple[str, ...], python: str) -> dict[str, Any]:
    """The conda environment: every distribution that pip would bring in, pinned for `python`."""
    server = "azureml-inference-server-http"
    names = pins.with_closure(["numpy", "onnxruntime", *libraries, server])
    return {
        "name": "onnxferry",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins.select(names, python)}],
    }


def deployment(endpoint: str) -> dict[str, Any]:
    """What deployment.yml says: one process with threads, so that the model is in memory once."""
    threads = f"--threads={_THREADS}"
    image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
    return {
        "$schema": f"{_SCHEMAS}Deployment.schema.json",
        "name": "blue",
        "endpoint_name": endpoint,
        "model": {"path": "./model"},
        "code_configuration": {"code": "./code", "scoring_script": "score.py"},
        "environment": {"conda_file": "./env.yml", "image": image},
        "environment_variables": {"WORKER_COUNT": "1", "GUNICORN_CMD_ARGS": threads},
        "instance_type": "Standard_F2s_v2",
        "instance_count": 1,
        "request_settings": {
            "request_timeout_ms": 90_000,
            "max_concurrent_requests_per_instance": _THREADS,
        },
        "liveness_probe": _probe(),
        "readiness_probe": _probe(),
    }


def _probe() -> dict[str, int]:
    """More patient than the platform's, which kills a large model while it loads."""
    wait = {"initial_delay": 30, "period": 10, "timeout": 10}
    return {**wait, "success_threshold": 1, "failure_threshold": 30}


def _yaml(data: dict[str, Any]) -> bytes:
    text: str = yaml.safe_dump(data, sort_keys=False, width=120)
    return text.encode()


# No limit on the size of a model or of a deployment's code is documented.
LAYOUT = PackageLayout("azureml", "package", write_folder, added, code="code/")
