"""The config.json of an Azure Machine Learning workspace, as its users have it: it fills in which
workspace is meant, where nothing else says so. It is searched as MLClient.from_config searches it,
from the folder of deploy.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from onnxferry.system.errors import UsageError

KEYS = {  # of [azureml], and what the file calls them
    "subscription": "subscription_id",
    "resource_group": "resource_group",
    "workspace": "workspace_name",
}
_FOLDERS, _NAMES = (".azureml", "aml_config", ""), ("config.json", "project.json")
_LEVELS = 20  # parents that are looked into
_SCOPE = {"subscription": 2, "resource_group": 4, "workspace": 8}  # parts of a workspace's id
_WAYS = f"set {', '.join(KEYS)} in [azureml] of deploy.toml"


def fill(data: dict[str, Any], target: str, file: Path) -> dict[str, str]:
    """Lay what the workspace's file says below what `data`, of deploy.toml `file` and all over it,
    says of azureml, where `target` reads that. Where each key filled in comes from, by its path.
    Raises UsageError for a file that says no workspace."""
    table = data.get("azureml", {})
    if not _read_by(target, data) or not isinstance(table, dict) or all(map(table.get, KEYS)):
        return {}
    found = find(file.resolve().parent)
    if found is None:
        return {}
    missing = {key: value for key, value in read(found).items() if not table.get(key)}
    data["azureml"] = {**table, **missing}
    return {f"azureml.{key}": str(found) for key in missing}


def find(folder: Path) -> Path | None:
    """The nearest file in or above `folder`: any in .azureml comes before any that is in none."""
    places = [folder, *folder.parents][: _LEVELS + 1]
    searched = product(_FOLDERS, _NAMES, places)
    paths = (place / inner / name for inner, name, place in searched)
    return next((path for path in paths if path.is_file()), None)


def read(path: Path) -> dict[str, str]:
    """Keys of [azureml] by what the file says. Raises UsageError."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"{path}: not readable as a workspace's file: {e}; or {_WAYS}") from e
    found = _by_key(said) if isinstance(said, Mapping) else {}
    if without := [name for key, name in KEYS.items() if not _is_text(found.get(key))]:
        raise UsageError(
            f"{path}: a workspace's file says {', '.join(KEYS.values())} as texts; this one lacks"
            f" {', '.join(without)}. Download it anew from the workspace's page in the Azure portal"
            f" and put it into .azureml beside deploy.toml, or {_WAYS}"
        )
    return found


def _by_key(said: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(scope := said.get("Scope"), str):
        return {key: said.get(name) for key, name in KEYS.items()}
    parts = scope.split("/")
    return {key: parts[i] for key, i in _SCOPE.items() if i < len(parts)}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _read_by(target: str, data: Mapping[str, Any]) -> bool:
    """Whether what is done at `target` reads [azureml]."""
    mlflow = data.get("mlflow")
    deploys_to = mlflow.get("deploy_to") if isinstance(mlflow, Mapping) else None
    return target == "azureml" or (target == "mlflow" and deploys_to == "azureml")
