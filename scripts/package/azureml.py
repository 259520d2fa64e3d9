"""AzureML: a folder for `az ml online-endpoint create -f endpoint.yml`, then the same with
online-deployment and deployment.yml.

All paths in the YAML files are relative to the folder, so it can be moved, checked in or handed to
a pipeline.
"""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.endpoint_name import endpoint_name
from onnxferry.scripts.package.layout import Entry, PackageLayout, PackageRequest, host_entries

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest/"
_SERVER = "azureml-inference-server-http"
# has conda, which builds env.yml into it
_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
_THREADS = 2  # requests at a time: one for each core of the instance type

# More patient than the platform's defaults, under which a large model is killed while it loads.
_PROBE = {
    "initial_delay": 30,
    "period": 10,
    "timeout": 10,
    "success_threshold": 1,
    "failure_threshold": 30,
}


def entries(request: PackageRequest) -> list[Entry]:
    """The three YAML files, code/ and model/."""
    name = endpoint_name(request.model.spec.name)
    return [
        *host_entries(request, "azureml", model="model/", code="code/"),
        Entry("env.yml", _yaml(environment(request.model.libraries, request.python))),
        Entry("endpoint.yml", _yaml(endpoint(name))),
        Entry("deployment.yml", _yaml(deployment(name))),
    ]


def environment(libraries: tuple[str, ...], python: str) -> dict[str, Any]:
    """The conda environment: every distribution that pip would bring in, pinned for `python`."""
    names = pins.with_closure(["numpy", "onnxruntime", *libraries, _SERVER])
    return {
        "name": "onnxferry",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins.select(names, python)}],
    }


def endpoint(name: str) -> dict[str, Any]:
    """What endpoint.yml says."""
    return {
        "$schema": f"{_SCHEMAS}managedOnlineEndpoint.schema.json",
        "name": name,
        "auth_mode": "key",
    }


def deployment(endpoint: str) -> dict[str, Any]:
    """What deployment.yml says."""
    return {
        "$schema": f"{_SCHEMAS}managedOnlineDeployment.schema.json",
        "name": "blue",
        "endpoint_name": endpoint,
        "model": {"path": "./model"},
        "code_configuration": {"code": "./code", "scoring_script": "score.py"},
        "environment": {"conda_file": "./env.yml", "image": _IMAGE},
        # One process with threads, so that the model is in memory once; gunicorn reads its threads
        # there.
        "environment_variables": {
            "WORKER_COUNT": "1",
            "GUNICORN_CMD_ARGS": f"--threads={_THREADS}",
        },
        "instance_type": "Standard_F2s_v2",
        "instance_count": 1,
        "request_settings": {
            "request_timeout_ms": 90_000,
            "max_concurrent_requests_per_instance": _THREADS,
        },
        "liveness_probe": dict(_PROBE),
        "readiness_probe": dict(_PROBE),
    }


def _yaml(data: dict[str, Any]) -> bytes:
    text: str = yaml.safe_dump(data, sort_keys=False, width=120)
    return text.encode()


LAYOUT = PackageLayout(
    target="azureml",
    file="package",
    write=write_folder,
    entries=entries,
    pythons=("3.12", "3.10", "3.11", "3.13"),
    # No documented limit on the size of a model or of a deployment's code.
)
