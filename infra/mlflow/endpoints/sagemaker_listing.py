"""What mlflow.deployments ever made for onnxferry in an account and region."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Listed
from onnxferry.infra.errors import NotFound
from onnxferry.infra.mlflow.endpoints.sagemaker_names import MlflowNames
from onnxferry.infra.mlflow.endpoints.specs import MARK
from onnxferry.infra.sagemaker import listing
from onnxferry.infra.sagemaker.packages import packages

_MANIFEST = re.compile(r"(.+?)(-candidate)?-model-[0-9a-f]{20}/golden\.json")


def listed(clients: AwsClients, names: MlflowNames) -> list[Listed]:
    """Endpoints, configurations, models and roles with MLflow's mark, and the archives in
    deploy.toml's bucket. Raises CloudError."""
    made = [one for one in listing.listed(clients, names) if one.endpoint.startswith(MARK)]
    return [*made, *_archives(clients, names)]


def _archives(clients: AwsClients, names: MlflowNames) -> Iterator[Listed]:
    where, at = f"bucket {names.bucket}", names.at(names.bucket)
    try:
        objects = clients.pages("s3", "list_objects_v2", "Contents", where, **at)
    except NotFound:
        return
    found = (_MANIFEST.fullmatch(item["Key"]) for item in objects)
    for endpoint in sorted({match[1] for match in found if match}):
        own = replace(names, endpoint=endpoint)
        for folder in own.package_folders:
            for one in packages(clients, own, names.bucket, folder).found:
                name = f"s3://{names.bucket}/{folder}{one.sha256}"
                facts = (name, own.made, one.version, "stored", "", names.region)
                yield Listed("package", *facts)
