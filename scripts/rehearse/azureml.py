"""AzureML's managed online endpoint: azureml-inference-server-http on gunicorn.

As on the platform: AML_APP_ROOT is the folder of the entry script, the model is registered as a
folder, so that it lies one level below AZUREML_MODEL_DIR, and deployment.yml's environment
variables are set (the number of workers is among them). The packages are those of env.yml's pip
list; conda only brings Python.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.runtime import Install, Runtime, UnpackedPackage


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app, version = root / "azureml-app", root / "azureml-models" / package.model / "1"
    shutil.copytree(package.path / "code", app / "code")
    shutil.copytree(package.path / "model", version / "model")
    for name in ("env.yml", "deployment.yml"):
        shutil.copy(package.path / name, app / name)
    return UnpackedPackage(root, app, version / "model")


def _installs(unpacked: UnpackedPackage, python: str) -> tuple[Install, ...]:
    dependencies = _read(unpacked.app / "env.yml")["dependencies"]
    return tuple(Install(tuple(e["pip"])) for e in dependencies if isinstance(e, dict))


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _arguments(unpacked: UnpackedPackage, port: int) -> tuple[str, ...]:
    script, models = unpacked.app / "code" / "score.py", unpacked.model.parent
    return ("--entry_script", str(script), "--model_dir", str(models), "--port", str(port))


def _environment(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    declared: dict[str, str] = _read(unpacked.app / "deployment.yml")["environment_variables"]
    own = {"AML_APP_ROOT": str(unpacked.app / "code"), "AML_APP_INSIGHTS_ENABLED": "false"}
    return {**declared, **own}


RUNTIME = Runtime(
    title="AzureML's inference server",
    health="/",
    score="/score",
    launcher="azureml_server.py",
    unpack=_unpack,
    installs=_installs,
    arguments=_arguments,
    environment=_environment,
)
