"""AzureML's managed online endpoint: azureml-inference-server-http on gunicorn.

As on the platform: AML_APP_ROOT is the folder of the entry script, the model lies one level below
AZUREML_MODEL_DIR, and deployment.yml's environment variables are set. The environment holds the pip
list of env.yml; for a package without env.yml, what is known to be in the prebuilt image.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.azureml import SERVER
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import HOSTS, Install, Runtime, UnpackedPackage


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


RUNTIME = Runtime(
    title="AzureML's inference server",
    health="/",
    score="/score",
    unpack=_unpack,
    installs=_installs,
    command=_command,
    environment=_environment,
)
