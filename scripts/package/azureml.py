"""AzureML: a folder for `az ml online-endpoint create -f endpoint.yml`, then the same with
online-deployment and deployment.yml. The files for batch jobs (azureml_batch.py) lie beside them,
and `onnxferry score` as a component of pipelines (azureml_score.py).

By default AzureML builds an image of env.yml. On the prebuilt image, Microsoft's inference server
as it is, there is no env.yml, and the libraries lie beside the code.
"""

from __future__ import annotations

from typing import Any

from onnxferry.scripts.package import azureml_batch, azureml_score, conda, slim, wheels
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.endpoint_name import endpoint_name
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest/managedOnline"
_IMAGES = "mcr.microsoft.com/azureml"
IMAGE = f"{_IMAGES}/openmpi4.1.0-ubuntu22.04:latest"
_THREADS = 8  # requests at a time: those that wait for a core share the runs of the model

SERVER = "azureml-inference-server-http"


def added(model: CheckedModel) -> list[Entry]:
    """The YAML files."""
    declared = {"conda_file": "./env.yml", "image": IMAGE}
    env = conda.to_yaml(environment(model.libraries, model.python))
    return [Entry("env.yml", env), *_declarations(model, declared)]


def added_to_prebuilt(model: CheckedModel, **source: Any) -> list[Entry]:
    """The YAML files without env.yml, and the libraries, from `source` as slim.brought has it."""
    image = f"{_IMAGES}/minimal-py{model.python.replace('.', '')}-inference:latest"
    declared = _declarations(model, {"image": image})
    return [*declared, *slim.brought(model, "code/", **source)]


def _declarations(model: CheckedModel, environment: dict[str, str]) -> list[Entry]:
    name = endpoint_name(model.spec.name)
    schema = f"{_SCHEMAS}Endpoint.schema.json"
    endpoint = {"$schema": schema, "name": name, "auth_mode": "key"}
    content = {"endpoint.yml": endpoint, "deployment.yml": deployment(name, environment)}
    content |= azureml_batch.declarations(model, IMAGE)
    files = [Entry(file, conda.to_yaml(said)) for file, said in content.items()]
    return [*files, *azureml_score.entries(IMAGE, model.python)]


def environment(libraries: tuple[str, ...], python: str) -> dict[str, Any]:
    """What env.yml says."""
    return conda.environment([*wheels.SCORING, *libraries, SERVER], python)


def deployment(endpoint: str, environment: dict[str, str]) -> dict[str, Any]:
    """What deployment.yml says: one process with threads, so that the model is in memory once."""
    return {
        "$schema": f"{_SCHEMAS}Deployment.schema.json",
        "name": "blue",
        "endpoint_name": endpoint,
        "model": {"path": "./model"},
        "code_configuration": {"code": "./code", "scoring_script": "score.py"},
        "environment": environment,
        "environment_variables": one_process(_THREADS),
        "instance_type": "Standard_F2s_v2",
        "instance_count": 1,
        "request_settings": {
            "request_timeout_ms": 90_000,
            "max_concurrent_requests_per_instance": _THREADS,
        },
        "liveness_probe": probe(),
        "readiness_probe": probe(),
    }


def one_process(threads: int) -> dict[str, str]:
    """The variables of the inference server by which one process answers with so many threads."""
    return {"WORKER_COUNT": "1", "GUNICORN_CMD_ARGS": f"--threads={threads}"}


def probe() -> dict[str, int]:
    """More patient than the platform's, which kills a large model while it loads."""
    wait = {"initial_delay": 30, "period": 10, "timeout": 10}
    return {**wait, "success_threshold": 1, "failure_threshold": 30}


# of the prebuilt images that are known: minimal-py312-inference and minimal-py311-inference
PREBUILT = PackageLayout(
    "azureml", "package", write_folder, added_to_prebuilt, code="code/", pythons=("3.12", "3.11")
)
# No limit on the size of a model or of a deployment's code is documented.
LAYOUT = PackageLayout(
    "azureml", "package", write_folder, added, code="code/", images={"prebuilt": PREBUILT}
)
