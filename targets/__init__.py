"""The table of targets: what each one is, as lazy references, so that nothing is imported unused.

A new target is its own folders (targets/NAME/, infra/NAME/), its own files in scripts/package/ and
scripts/rehearse/, and one row here. A reference is "module:attribute", for pkgutil.resolve_name.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """One platform. `settings` and `connect` are "" where there is no cloud to deploy to.

    `layout` names a scripts.package.layout.PackageLayout, `runtime` a scripts.rehearse.runtime.
    Runtime, `settings` the pydantic model of its table in deploy.toml, `connect` a function of
    (DeployConfig, endpoint name) that gives its infra.cloud.Cloud. `extra` is what pip installs for
    it: onnxferry[extra].
    """

    layout: str
    runtime: str
    settings: str = ""
    connect: str = ""
    extra: str = ""


def load(reference: str) -> Any:
    """What a reference names; its module is imported now. Raises ImportError."""
    return pkgutil.resolve_name(reference)


TARGETS: dict[str, Target] = {
    "azureml": Target(
        "onnxferry.scripts.package.azureml:LAYOUT",
        "onnxferry.scripts.rehearse.azureml:RUNTIME",
        "onnxferry.infra.config:AzureML",
        "onnxferry.infra.azureml:connect",
        "azure",
    ),
    "functions": Target(
        "onnxferry.scripts.package.functions:LAYOUT",
        "onnxferry.scripts.rehearse.functions:RUNTIME",
        "onnxferry.infra.config:Functions",
        "onnxferry.infra.functions:connect",
        "azure",
    ),
    "local": Target(
        "onnxferry.scripts.package.local:LAYOUT",
        "onnxferry.scripts.rehearse.local:RUNTIME",
        extra="local",
    ),
    "sagemaker": Target(
        "onnxferry.scripts.package.sagemaker:LAYOUT",
        "onnxferry.scripts.rehearse.sagemaker:RUNTIME",
        "onnxferry.infra.config:SageMaker",
        "onnxferry.infra.sagemaker:connect",
        "aws",
    ),
}


def clouds() -> list[str]:
    """The targets that a model can be deployed to."""
    return [name for name, target in TARGETS.items() if target.connect]
