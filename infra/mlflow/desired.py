"""What shall be there for a bundle, read from its package and deploy.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.target_tables import MLflow
from onnxferry.system.errors import PackageError


@dataclass(frozen=True)
class DesiredState:
    """`source` is the package's folder, `sha256` its hash, `version` 12 digits of that. `deployed`
    is the time of the deployment, and no difference."""

    version: str
    sha256: str
    source: str
    deployed: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def desired_state(bundle: Bundle, config: MLflow, deployed: str = "") -> DesiredState:
    """Read the package of `bundle`, which is `deployed` now. Raises PackageError when it is not
    MLflow's."""
    package = bundle.package
    if not (package.path / "MLmodel").is_file():
        said = "no MLmodel is there, so it is no model of MLflow's; build the package again"
        raise PackageError(f"{package.path}: {said}")
    source, tags = str(package.path.absolute()), config.tags
    return DesiredState(bundle.version, package.sha256, source, deployed, tags)
