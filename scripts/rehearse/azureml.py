"""AzureML's managed online endpoint: azureml-inference-server-http on gunicorn.

As on the platform: AML_APP_ROOT is the folder of the entry script, the model lies one level below
AZUREML_MODEL_DIR, and deployment.yml's environment variables are set. The environment holds the pip
list of env.yml; for a package without env.yml, what is known to be in the prebuilt image.

In the image "batch", that of batch jobs, the environment is of batch-env.yml, and a program of ours
(hosts/azureml_batch.py) calls the same package's batch.py.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package import azureml_batch, pins
from onnxferry.scripts.package.azureml import SERVER
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.batch_files import golden_file, prove_rows, request_file
from onnxferry.scripts.rehearse.runtime import HOSTS, Install, Runtime, UnpackedPackage, Wire


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = root / "azureml-app"
    shutil.copytree(package.path / "code", app / "code")
    model = root / "azureml-models" / package.model / "1" / "model"
    shutil.copytree(package.path / "model", model)
    for file in package.path.glob("*.yml"):
        shutil.copy(file, app)
    return UnpackedPackage(root, app, model)


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _installs(unpacked: UnpackedPackage, python: str) -> tuple[Install, ...]:
    conda = unpacked.app / "env.yml"
    if not conda.is_file():
        return (Install(tuple(pins.select([*pins.with_closure([SERVER]), "numpy"], python))),)
    return _listed(conda)


def _listed(conda: Path) -> tuple[Install, ...]:
    dependencies = _read(conda)["dependencies"]
    return tuple(Install(tuple(e["pip"])) for e in dependencies if isinstance(e, dict))


def _command(unpacked: UnpackedPackage, port: int) -> tuple[str | Path | int, ...]:
    script, models = unpacked.app / "code" / "score.py", unpacked.model.parent
    options = ("--entry_script", script, "--model_dir", models, "--port", port)
    return (HOSTS / "azureml_server.py", *options)


def _environment(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    declared: dict[str, str] = _read(unpacked.app / "deployment.yml")["environment_variables"]
    own = {"AML_APP_ROOT": str(unpacked.app / "code"), "AML_APP_INSIGHTS_ENABLED": "false"}
    return {**declared, **own}


def _batch_command(unpacked: UnpackedPackage, port: int) -> tuple[str | Path | int, ...]:
    declared = _read(unpacked.app / azureml_batch.DEPLOYMENT)
    script = unpacked.app / "code" / declared["code_configuration"]["scoring_script"]
    settings = json.dumps(declared["settings"])
    return (HOSTS / "azureml_batch.py", script, unpacked.model.parent, settings, port)


_SERVER = Runtime(
    title="AzureML's inference server",
    health="/",
    score="/score",
    unpack=_unpack,
    installs=_installs,
    command=_command,
    environment=_environment,
)
_BATCH = Runtime(
    title="a program in the place of AzureML's for batch jobs",
    health="/",
    score="/",
    unpack=_unpack,
    installs=lambda unpacked, python: _listed(unpacked.app / azureml_batch.ENVIRONMENT),
    command=_batch_command,
    prove=prove_rows,
    wire=Wire(request_file, golden_file),
    recorded=False,
)
RUNTIME = replace(_SERVER, images={"batch": _BATCH})
