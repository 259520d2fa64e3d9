"""mlflow.deployments' client of SageMaker: the only importer of mlflow.deployments and
mlflow.sagemaker.

Only its create_deployment is used, asynchronous and archiving. The rest of it is not for something
that serves: update_deployment puts a version live that nobody has asked yet, and then deletes what
served, its archive too; delete_deployment leaves older configurations, models and archives.
Without a bucket it makes one that is not closed to the public, and without a role it gives the
container that of whoever deploys: so it is always given both.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.sagemaker
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import Refused

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
FLAVOR = "python_function"


def create_deployment(
    clients: AwsClients, name: str, package: Path, suffix: str, settings: Mapping[str, Any]
) -> None:
    """Upload the MLflow model in the folder `package`, and make of it a model, an endpoint
    configuration and the endpoint `name`, which is not waited for. What mlflow names at random ends
    with `suffix`. `settings` are of its configuration. Raises CloudError."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    config = {**settings, "region_name": clients.region, "synchronous": False, "archive": True}
    with clients.translated("sagemaker", f"mlflow.deployments, endpoint {name}"), _named(suffix):
        client = get_deploy_client(f"sagemaker:/{clients.region}")
        with clients.as_default(), _proxies_kept_here():
            try:
                client.create_deployment(name, os.path.relpath(package), FLAVOR, config)
            except MlflowException as e:
                where = f"AWS {clients.region}, endpoint {name}"
                raise Refused(f"{where}: mlflow.deployments refuses it: {e.message}") from e


@contextmanager
def _named(suffix: str) -> Iterator[None]:
    """Give mlflow's names this end instead of random digits: a second attempt, after an
    interruption, must find what the first has made, and a plan say what will be made."""
    real = mlflow.sagemaker.uuid
    mlflow.sagemaker.uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=suffix))
    try:
        yield
    finally:
        mlflow.sagemaker.uuid = real


@contextmanager
def _proxies_kept_here() -> Iterator[None]:
    """mlflow gives the container this machine's proxies, by their names in small letters, with the
    passwords in them. In capitals they serve boto3 as well."""
    kept = {name: os.environ.pop(name) for name in _PROXIES if name in os.environ}
    added = {name.upper() for name in kept if name.upper() not in os.environ}
    os.environ |= {name: kept[name.lower()] for name in added}
    try:
        yield
    finally:
        os.environ |= kept
        for name in added:
            os.environ.pop(name)
