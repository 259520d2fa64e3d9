"""What shall be live: the package folder and deploy.toml, read into names by content and the
deployment's settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import AzureML
from onnxferry.scripts.package import Package
from onnxferry.system.errors import PackageError

_DIGITS = 12


@dataclass(frozen=True)
class DesiredState:
    """`model`, `code` and `environment` are versions, made of what is in them, as is the
    `deployment`'s name.

    `settings` are the deployment's, as in its YAML file; `conda` and `image` are the environment.
    """

    version: str
    model: str
    code: str
    environment: str
    deployment: str
    image: str
    conda: Mapping[str, Any]
    settings: Mapping[str, Any]
    auth_mode: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> dict[str, str]:
        """What is registered, by kind."""
        return {"model": self.model, "code": self.code, "environment": self.environment}


def desired_state(bundle: Bundle, mine: AzureML) -> DesiredState:
    """Read the package of `bundle`. Raises PackageError when it is not AzureML's."""
    package = bundle.package
    conda, declared = (_read(package.path / name) for name in ("env.yml", "deployment.yml"))
    try:
        image = declared["environment"]["image"]
        settings = {
            "scoring_script": declared["code_configuration"]["scoring_script"],
            "environment_variables": {
                **(declared.get("environment_variables") or {}),
                **mine.environment,
            },
            "request_settings": declared.get("request_settings") or {},
            "liveness_probe": declared.get("liveness_probe"),
            "readiness_probe": declared.get("readiness_probe"),
            "instance_type": mine.instance_type,
            "instance_count": mine.instance_count,
        }
    except (KeyError, TypeError) as e:
        raise PackageError(
            f"{package.path / 'deployment.yml'}: {e!r} is missing; build the package again"
        ) from e
    return DesiredState(
        version=bundle.version,
        model=_members(package, "model/"),
        code=_members(package, "code/"),
        environment=_digest([image, conda]),
        deployment=f"v{bundle.version}-{_digest(settings)[:6]}",
        image=image,
        conda=conda,
        settings=settings,
        auth_mode=mine.auth_mode,
        tags=dict(mine.tags),
    )


def _members(package: Package, folder: str) -> str:
    """A name for the content of one of the package's folders."""
    found = [
        [m.path, m.sha256]
        for m in sorted(package.members, key=lambda m: m.path)
        if m.path.startswith(folder)
    ]
    if not found:
        raise PackageError(f"{package.path}: nothing in {folder}; build the package again")
    return _digest(found)


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as e:
        raise PackageError(f"{path}: not readable as YAML ({e}); build the package again") from e
