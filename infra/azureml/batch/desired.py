"""What shall be there for a batch of a bundle: what an online endpoint registers, too, but for the
environment, and a deployment, read from the package's batch-deployment.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.infra.azureml.desired import DesiredState, desired_state, digest
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.target_tables import AzureML
from onnxferry.system.errors import PackageError

FILE = "batch-deployment.yml"
CLUSTER = "onnxferry-batch"
_SETTINGS = (
    "mini_batch_size",
    "max_concurrency_per_instance",
    "output_action",
    "output_file_name",
    "retry_settings",
    "error_threshold",
    "logging_level",
    "environment_variables",
)


@dataclass(frozen=True)
class BatchDesired:
    """`registered` has model, code and environment; `settings` are those of the deployment's YAML,
    `script` what it runs, `compute` the cluster's name, `deployment` its own. A cluster that is
    `given` is the user's."""

    registered: DesiredState
    script: str
    settings: Mapping[str, Any]
    compute: str
    deployment: str
    given: bool = False

    @property
    def version(self) -> str:
        """The bundle's."""
        return self.registered.version


def batch_desired(bundle: Bundle, config: AzureML, deployed: str = "") -> BatchDesired:
    """Read the package of `bundle`. Raises PackageError for one without batch files."""
    online, declared = desired_state(bundle, config, deployed), _read(bundle, FILE)
    try:
        environment = {"image": declared["environment"]["image"]}
        if conda := declared["environment"].get("conda_file"):
            environment["conda_file"] = _read(bundle, conda)
        script = declared["code_configuration"]["scoring_script"]
    except (KeyError, TypeError) as e:
        where = bundle.package.path / FILE
        raise PackageError(f"{where}: {e!r} is missing; build the package again") from e
    said = {**declared, **(declared.get("settings") or {})}
    settings = {key: said[key] for key in _SETTINGS if key in said}
    variables = {**(settings.get("environment_variables") or {}), **config.environment}
    settings["environment_variables"] = variables
    versions = {**online.versions, "environment": digest([*environment.values()])}
    compute = config.batch.compute or CLUSTER
    own = digest([settings, script, compute, versions])[:6]
    registered = replace(online, versions=versions, environment=environment)
    named = f"v{bundle.version}-{own}"
    given = config.batch.compute is not None
    return BatchDesired(registered, script, settings, compute, named, given)


def _read(bundle: Bundle, name: str) -> dict[str, Any]:
    path = bundle.package.path / name
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as e:
        raise PackageError(f"{path}: not readable as YAML ({e}); build the package again") from e
