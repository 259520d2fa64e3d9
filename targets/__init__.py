"""The table of targets, as lazy references, so that nothing is imported unused.

A new target is its own folders (targets/NAME/, infra/NAME/), its own files in scripts/package/ and
scripts/rehearse/, and one row here.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Target:
    """One platform, by references "module:attribute".

    `layout` is a PackageLayout, `runtime` a Runtime, `settings` the pydantic model of its table in
    deploy.toml, `connect` a function of (DeployConfig, endpoint name) that gives its Cloud; both
    are "" where there is no cloud. `jobs` gives its BatchJobs likewise, "" where it has none;
    `place` what all its endpoints share and nobody makes by deploying one, as a template: then the
    first of `templates` is of that.
    `extra` is what pip installs for it: onnxferry[extra]; `templates`, as what its infrastructure
    can be had, the cloud's own kind first; `shadows`, whether a new version can get a copy of the
    requests, to be compared; `keys`, whether callers may be let in by keys.
    """

    layout: str
    runtime: str
    settings: str = ""
    connect: str = ""
    jobs: str = ""
    place: str = ""
    extra: str = ""
    templates: tuple[str, ...] = ()
    shadows: bool = False
    keys: bool = False


def load(reference: str) -> Any:
    """What a reference names; its module is imported now. Raises ImportError."""
    return pkgutil.resolve_name(reference)


def _target(name: str, settings: str = "", extra: str = "") -> Target:
    """The row of a target whose references are in the usual places."""
    connect = f"onnxferry.infra.{name}:connect" if settings else ""
    layout = f"onnxferry.scripts.package.{name}:LAYOUT"
    runtime = f"onnxferry.scripts.rehearse.{name}:RUNTIME"
    model = f"onnxferry.infra.target_tables:{settings}" if settings else ""
    return Target(layout, runtime, model, connect, extra=extra)


TARGETS = {
    "azureml": replace(
        _target("azureml", "AzureML", "azure"),
        jobs="onnxferry.infra.azureml.batch.cloud:connect",
        shadows=True,
        keys=True,
        place="onnxferry.infra.azureml.workspace:connect",
        templates=("arm",),
    ),
    "container": _target("container"),
    "functions": replace(_target("functions", "Functions", "azure"), templates=("arm",), keys=True),
    "local": _target("local", extra="local"),
    "mlflow": _target("mlflow", "MLflow", "mlflow"),
    "sagemaker": replace(
        _target("sagemaker", "SageMaker", "aws"),
        jobs="onnxferry.infra.sagemaker.batch.cloud:connect",
        templates=("cloudformation", "terraform"),
        shadows=True,
    ),
}


def clouds() -> list[str]:
    """The targets that a model can be deployed to."""
    return [name for name, target in TARGETS.items() if target.connect]


def templated() -> list[str]:
    """Those whose infrastructure can be had as a template."""
    return [name for name, target in TARGETS.items() if target.templates]


def template_kinds() -> list[str]:
    """All kinds of templates that there are."""
    return list(dict.fromkeys(kind for target in TARGETS.values() for kind in target.templates))


def shadowing() -> list[str]:
    """Those where a new version can get a copy of the requests, to be compared."""
    return [name for name, target in TARGETS.items() if target.shadows]


def keyed() -> list[str]:
    """Those whose callers may be let in by keys, which can be renewed."""
    return [name for name, target in TARGETS.items() if target.keys]


def batched() -> list[str]:
    """Those that score files in batch jobs."""
    return [name for name, target in TARGETS.items() if target.jobs]
