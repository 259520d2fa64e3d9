"""AzureML's batch jobs: what lies in the package beside the files of an online endpoint, for `az ml
batch-endpoint create -f batch-endpoint.yml`, then the same with batch-deployment.

The code and the model are the same. The environment is another: the program that runs batch jobs
asks for azureml-core and azureml-dataset-runtime in it, which take other versions than the server.
"""

from __future__ import annotations

from typing import Any

from onnxferry.scripts.package import conda, pins, wheels
from onnxferry.scripts.package.endpoint_name import endpoint_name
from onnxferry.scripts.package.model import CheckedModel

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest/batch"
ENDPOINT, DEPLOYMENT, ENVIRONMENT = "batch-endpoint.yml", "batch-deployment.yml", "batch-env.yml"
COMPUTE = "azureml:onnxferry-batch"
ANSWERS = "answers.jsonl"
# Microsoft's program for batch jobs is no distribution; this is what it asks for
DRIVER = ("azureml-core", "azureml-dataset-runtime", "fusepy")


def declarations(model: CheckedModel, image: str) -> dict[str, dict[str, Any]]:
    """The YAML files by their names, on a base `image`."""
    name = batch_name(endpoint_name(model.spec.name))
    declared = {"conda_file": f"./{ENVIRONMENT}", "image": image}
    schema = f"{_SCHEMAS}Endpoint.schema.json"
    return {
        ENVIRONMENT: environment(model.libraries, model.python),
        ENDPOINT: {"$schema": schema, "name": name, "auth_mode": "aad_token"},
        DEPLOYMENT: deployment(name, declared),
    }


def batch_name(endpoint: str) -> str:
    """The name of the batch endpoint beside an online endpoint: the two share one space of names in
    a workspace's region."""
    return f"{endpoint[:26].rstrip('-')}-batch"


def environment(libraries: tuple[str, ...], python: str) -> dict[str, Any]:
    """What batch-env.yml says."""
    return conda.environment([*wheels.SCORING, *libraries, *DRIVER], python, pins.AZUREML_BATCH)


def deployment(endpoint: str, environment: dict[str, str]) -> dict[str, Any]:
    """What batch-deployment.yml says: one process an instance with all its CPUs, so that the model
    is in memory once. A file's rows take as long as they take, so the limit of time is large; our
    code fails no file, so one that fails (out of memory, or of time) fails the job."""
    return {
        "$schema": f"{_SCHEMAS}Deployment.schema.json",
        "name": "default",
        "endpoint_name": endpoint,
        "type": "model",
        "model": {"path": "./model"},
        "code_configuration": {"code": "./code", "scoring_script": "batch.py"},
        "environment": environment,
        "compute": COMPUTE,
        "resources": {"instance_count": 1},
        "settings": {
            "mini_batch_size": 10,
            "max_concurrency_per_instance": 1,
            "output_action": "append_row",
            "output_file_name": ANSWERS,
            "retry_settings": {"max_retries": 3, "timeout": 3600},
            "error_threshold": 0,
            "logging_level": "info",
            # as many as max_concurrency_per_instance: they share the CPUs
            "environment_variables": {"ONNXFERRY_ENGINE_PROCESSES": "1"},
        },
    }
