"""What shall be there for a bundle, read from its package and deploy.toml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.infra.azureml import declared
from onnxferry.infra.azureml.scaling.target import Scaled, scaled
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.target_tables.rollout import AzureMLRollout
from onnxferry.scoring.manifest import SPEC_FILE
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.system.errors import PackageError


@dataclass(frozen=True)
class DesiredState:
    """`versions` ("model", "code", "environment") and the `deployment` are made of hashes.
    `settings` are the deployment's and `endpoint` the endpoint's, as in their YAML files. `files`
    has, of model and code, the folder on this machine ("source") and each file's sha256 ("files");
    `spec` has the golden request. `deployed` is the time of the deployment, and no difference, nor
    is how it takes over; `rehearsed_ms` is the p95 of the package's own rehearsal. `scaling` is how
    Azure Monitor scales the deployment, None where it does not."""

    version: str
    versions: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    spec: str
    deployment: str
    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    endpoint: Mapping[str, Any]
    model_type: str = "custom_model"
    keep_previous: bool = True
    deployed: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    rollout: AzureMLRollout = field(default_factory=AzureMLRollout)
    rehearsed_ms: float | None = None
    scaling: Scaled | None = None


def desired_state(bundle: Bundle, config: AzureML, deployed: str = "") -> DesiredState:
    """Read the package of `bundle`, which is `deployed` now. Raises PackageError when it is not
    AzureML's."""
    package = bundle.package
    own = _read(package.path / "deployment.yml")
    try:
        environment = declared.environment(config, own["environment"])
        if conda := environment.get("conda_file"):
            environment["conda_file"] = _read(package.path / conda)
        script = own["code_configuration"]["scoring_script"]
    except (KeyError, TypeError, AttributeError) as e:
        raise PackageError(
            f"{package.path / 'deployment.yml'}: {e!r} is missing; build the package again"
        ) from e
    kept = ("environment_variables", "request_settings", "liveness_probe", "readiness_probe")
    settings = {"scoring_script": script, **{key: own.get(key) or {} for key in kept}}
    measured = record.of(package)
    settings = declared.over(settings, declared.deployment(config, measured))
    files = {kind: _files(package, kind) for kind in ("model", "code")}
    versions = {kind: version_of(kind, found["files"]) for kind, found in files.items()}
    versions["environment"] = digest([*environment.values()])
    return DesiredState(
        version=bundle.version,
        versions=versions,
        files=files,
        spec=str(package.path / "model" / SPEC_FILE),
        deployment=f"v{bundle.version}-{digest(settings)[:6]}",
        environment=environment,
        settings=settings,
        endpoint=declared.endpoint(config),
        keep_previous=config.keep_previous,
        deployed=deployed,
        tags=config.tags,
        rollout=config.rollout,
        rehearsed_ms=measured.latency_p95_ms if measured else None,
        scaling=scaled(config, measured),
    )


def _files(package: Package, folder: str) -> dict[str, Any]:
    within = [m for m in package.members if m.path.startswith(f"{folder}/")]
    found = {m.path.removeprefix(f"{folder}/"): m.sha256 for m in within}
    if not found:
        raise PackageError(f"{package.path}: nothing in {folder}/; build the package again")
    return {"source": str(package.path / folder), "files": found}


def version_of(kind: str, files: Mapping[str, str]) -> str:
    """The version of a model or a code, by the sha256 of each of its files."""
    return digest([[f"{kind}/{name}", sha256] for name, sha256 in sorted(files.items())])


def digest(data: Any) -> str:
    """12 hexadecimal digits that name JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as e:
        raise PackageError(f"{path}: not readable as YAML ({e}); build the package again") from e
