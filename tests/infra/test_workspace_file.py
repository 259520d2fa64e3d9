"""The config.json of a workspace: found as azure-ai-ml finds it, below all else, and named where it
is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken

from onnxferry.infra import workspace_file
from onnxferry.infra.config import load
from onnxferry.infra.starter import init
from onnxferry.infra.target_tables import AzureML
from onnxferry.system.errors import UsageError

GUID = "00000000-0000-0000-0000-00000000000"
SAID = {"subscription_id": f"{GUID}1", "resource_group": "rg", "workspace_name": "work"}


class Nobody:
    """A credential that is never asked."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        raise AssertionError


def write(path: Path, **changes: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**SAID, **changes}))
    return path


def azureml(file: Path, target: str = "azureml", **flags: str) -> AzureML:
    table = load(target, file, flags).azureml
    assert table
    return table


def test_it_says_what_nothing_else_says(tmp_path: Path) -> None:
    write(tmp_path / "config.json")
    file = tmp_path / "deploy.toml"
    file.write_text('[azureml]\nresource_group = "own"\n')
    table = azureml(file)
    assert (table.subscription, table.resource_group, table.workspace) == (
        f"{GUID}1",
        "own",
        "work",
    )
    by_variable = load("azureml", file, {}, {"ONNXFERRY_AZUREML_WORKSPACE": "another"}).azureml
    assert by_variable
    assert by_variable.workspace == "another"
    assert load("azureml", file, {"azureml.workspace": "flag"}).azureml != by_variable


@pytest.mark.parametrize(
    "places",
    [
        ("config.json",),
        (".azureml/config.json", "config.json"),
        ("aml_config/config.json", "config.json"),
        ("../.azureml/config.json", "config.json"),
        ("../../config.json",),
        ("../project.json", "../../config.json"),
        (".azureml/project.json", "../.azureml/config.json"),
    ],
)
def test_it_is_found_where_azure_ai_ml_finds_it(tmp_path: Path, places: tuple[str, ...]) -> None:
    here = tmp_path / "a" / "b" / "c"
    here.mkdir(parents=True)
    for number, place in enumerate(places):
        write(here / place, workspace_name=f"work{number}")
    theirs = MLClient.from_config(Nobody(), path=here, enable_telemetry=False)
    assert azureml(here / "deploy.toml").workspace == theirs.workspace_name


def test_the_id_of_a_workspace_is_enough(tmp_path: Path) -> None:
    scope = f"/subscriptions/{GUID}2/resourceGroups/g/providers/Microsoft.X/workspaces/scoped"
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"Scope": scope}))
    found = {"subscription": f"{GUID}2", "resource_group": "g", "workspace": "scoped"}
    assert workspace_file.read(path) == found


def test_it_is_named_where_it_is_wrong(tmp_path: Path) -> None:
    path, file = write(tmp_path / ".azureml" / "config.json", workspace_name="!"), tmp_path / "d"
    with pytest.raises(UsageError) as caught:
        azureml(file)
    assert f"azureml.workspace ({path})" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "bert"}', '{"Scope": "/x"}'])
def test_another_file_of_that_name_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        azureml(tmp_path / "deploy.toml")
    assert f"{tmp_path / 'config.json'}: " in str(caught.value)
    assert "in [azureml] of deploy.toml" in str(caught.value)


def test_only_what_reads_azureml_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    file = tmp_path / "deploy.toml"
    assert load("sagemaker", file).azureml is None
    assert load("mlflow", file).azureml is None
    write(tmp_path / "config.json")
    assert azureml(file, "mlflow", **{"mlflow.deploy_to": "azureml"}).workspace == "work"


def test_a_starter_mentions_it_and_what_it_leaves_empty_is_filled_in(tmp_path: Path) -> None:
    write(tmp_path / "config.json")
    file = init(tmp_path / "deploy.toml", "azureml")
    assert "config.json" in file.read_text()
    assert azureml(file).workspace == "work"
