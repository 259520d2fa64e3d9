"""MLflow: `mlflow models serve` on the package, in an environment of its own requirements.txt, as
MLflow's own environments are made.

In the image "sagemaker", MLflow's container for SageMaker, the container's entry starts the same
server (hosts/mlflow_container.py), as built with the model's environment, since no other starts
without the network.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from onnxferry.scripts.mlflow_requests import mlflow_golden, mlflow_request
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import HOSTS, Runtime, UnpackedPackage, Wire, listed

# MLflow reports its use to its maker, unless told not to
_SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
_CONTAINER = {
    "DISABLE_NGINX": "true",
    "MLFLOW_DISABLE_ENV_CREATION": "true",
    "MLFLOW_MODELS_WORKERS": "1",
}


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = shutil.copytree(package.path, root / "package")
    return UnpackedPackage(root, app, app / "artifacts" / "model")


def _command(unpacked: UnpackedPackage, port: int) -> tuple[str | Path | int, ...]:
    here = ("--env-manager", "local", "--host", "127.0.0.1", "--workers", 1)
    return ("-m", "mlflow", "models", "serve", "-m", unpacked.app, "--port", port, *here)


_SERVER = Runtime(
    title="MLflow's scoring server",
    health="/ping",
    score="/invocations",
    unpack=_unpack,
    installs=lambda unpacked, python: (listed(unpacked.app / "requirements.txt"),),
    command=_command,
    environment=lambda unpacked, port: _SILENT,
    limit=240.0,  # its first start compiles what the command and the server import
    wire=Wire(mlflow_request, mlflow_golden),
)
_SAGEMAKER = replace(
    _SERVER,
    title="MLflow's container for SageMaker",
    command=lambda unpacked, port: (HOSTS / "mlflow_container.py", unpacked.app, port),
    environment=lambda unpacked, port: {**_SILENT, **_CONTAINER},
)
RUNTIME = replace(_SERVER, images={"sagemaker": _SAGEMAKER})
