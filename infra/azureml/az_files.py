"""The files for those who deploy by `az ml`, without onnxferry: endpoint.yml and deployment.yml
with all that deploy.toml and the rehearsal say, env.yml, the golden request, and the template of an
autoscale setting. They lie in a folder of their own, and name model and code in the package's
folder by relative paths, so that both can be moved together. The mark of what onnxferry made is not
in them: what `az ml` makes is the user's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.cloud import TemplateFiles
from onnxferry.scoring.manifest import Golden
from onnxferry.scripts.package import conda
from onnxferry.scripts.package.azureml import schema

KIND = "az-ml"
_REQUEST, _AUTOSCALE = "request.json", "autoscale.json"
_APART = ("scoring_script",)  # of the settings, what deployment.yml has in a table


def az_files(
    names: Names,
    desired: DesiredState,
    golden: Golden,
    folder: Path,
    autoscale: Mapping[str, Any] | None = None,
) -> TemplateFiles:
    """The files to be written into `folder`; `autoscale` is the template of that setting."""
    said = {"endpoint.yml": _endpoint(names, desired)}
    said["deployment.yml"] = _deployment(names, desired, folder)
    found = {}
    if file := desired.environment.get("conda_file"):
        found["env.yml"] = conda.to_yaml(file).decode()
    if golden.request.content_type == "application/json":
        found[_REQUEST] = golden.request.body.decode("utf-8")
    if autoscale:
        found[_AUTOSCALE] = json.dumps(autoscale, indent=2) + "\n"
    commands = tuple(_commands(names, desired.deployment, found))
    text = {name: _commented(commands) + conda.to_yaml(one).decode() for name, one in said.items()}
    return TemplateFiles({**text, **found}, commands)


def _endpoint(names: Names, desired: DesiredState) -> dict[str, Any]:
    own = {"$schema": schema("Endpoint", _mode(desired)), "name": names.endpoint}
    return {**own, **desired.endpoint, **_tags(desired)}


def _deployment(names: Names, desired: DesiredState, folder: Path) -> dict[str, Any]:
    paths = {kind: _from(folder, facts["source"]) for kind, facts in desired.files.items()}
    script = {"code": paths["code"], "scoring_script": desired.settings["scoring_script"]}
    environment = {"image": desired.environment["image"]}
    if "conda_file" in desired.environment:
        environment["conda_file"] = "./env.yml"
    return {
        "$schema": schema("Deployment", _mode(desired)),
        "name": desired.deployment,
        "endpoint_name": names.endpoint,
        "model": {"path": paths["model"], "type": desired.model_type},
        "code_configuration": script,
        "environment": environment,
        **{key: v for key, v in desired.settings.items() if key not in _APART},
        **_tags(desired),
    }


def _commands(names: Names, deployment: str, written: Mapping[str, Any]) -> Iterator[str]:
    """What is run in the folder, in this order."""
    place = f"--resource-group {names.group} --subscription {names.subscription}"
    space = f"--workspace-name {names.workspace} {place}"
    endpoint = f"--name {names.endpoint} {space}"
    yield f"az ml online-endpoint create --file endpoint.yml {space}"
    yield f"az ml online-deployment create --file deployment.yml {space}"
    if _REQUEST in written:
        asked = f"--deployment-name {deployment} --request-file {_REQUEST}"
        yield f"az ml online-endpoint invoke {asked} {endpoint}"
    if _AUTOSCALE in written:
        yield f"az deployment group create --template-file {_AUTOSCALE} {place}"
    yield f'az ml online-endpoint update --traffic "{deployment}=100" {endpoint}'


def _commented(commands: Sequence[str]) -> str:
    lines = ("Run in this folder (https://learn.microsoft.com/cli/azure/ml):", *commands)
    return "".join(f"# {line}\n" for line in lines)


def _from(folder: Path, source: str) -> str:
    """A folder of the package as deployment.yml names it, on every system."""
    return Path(os.path.relpath(Path(source).resolve(), folder.resolve())).as_posix()


def _mode(desired: DesiredState) -> str:
    return str(desired.settings.get("type", "managed"))


def _tags(desired: DesiredState) -> dict[str, Any]:
    return {"tags": dict(desired.tags)} if desired.tags else {}
