"""The files for `az ml`: azure-ai-ml's own loaders take them, they say what `deploy` sends, and
azure-ai-ml alone deploys them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from azure.ai.ml import MLClient, load_environment, load_online_deployment, load_online_endpoint
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra import azureml
from onnxferry.infra.azureml import az_files
from onnxferry.infra.azureml.desired import desired_state
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.clients.azureml_types import metadata
from onnxferry.infra.cloud import Bundle, TemplatedInFiles
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers import given
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.infra.azureml.conftest import NAME, QUICK, config, connected, deploy

IDENTITY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/{given.IDENTITIES}/serving"
MANY: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "limits": {
        "auth_mode": "aml_token",
        "requests": {"timeout_seconds": 30, "concurrency": 2, "start_minutes": 20},
        "environment": {"ONNXFERRY_ENGINE_THREADS": "1"},
        "serving": {"instance_type": "Standard_DS3_v2", "instance_count": 3},
        "tags": {"team": "ml", "cost": "7"},
    },
    "private": {
        "auth_mode": "aad_token",
        "network": {"public": False, "egress": False},
        "requests": {"queue_seconds": 0.5, "concurrency": 2, "start_minutes": 20},
        "image": "registry.azurecr.io/inference/cpu:1.0",
        "serving": {"instance_count": 2},
        "tags": {"team": "ml"},
    },
}
EACH = pytest.mark.parametrize("settings", MANY.values(), ids=MANY)
SOME = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(given_, id=name, marks=[pytest.mark.series] * (name != "private"))
        for name, given_ in MANY.items()
    ],
)


def written(folder: Path, bundle: Bundle, **settings: Any) -> tuple[Path, tuple[str, ...]]:
    """The folder, with the files in it, and the commands."""
    cloud = connected(**settings)
    assert isinstance(cloud, TemplatedInFiles)
    files = cloud.template_files(bundle, "az-ml", folder)
    folder.mkdir()
    for name, text in files.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder, files.commands


def client() -> MLClient:
    """azure-ai-ml as its users make it, but for where the cloud is."""
    session = azure_session(SUBSCRIPTION, None, 0)
    cloud = {"cloud": session.where.name, "cloud_metadata": metadata(session.where)}
    quiet = {"enable_telemetry": False, "show_progress": False}
    return MLClient(session.credential, SUBSCRIPTION, "rg", "work", **cloud, **quiet)


def deployed(folder: Path) -> str:
    """Deploy what is in the folder, by azure-ai-ml alone; the deployment's name."""
    ml = client()
    endpoint = load_online_endpoint(folder / "endpoint.yml")
    ml.online_endpoints.begin_create_or_update(endpoint).result()
    deployment = load_online_deployment(folder / "deployment.yml")
    ml.online_deployments.begin_create_or_update(deployment).result()
    endpoint.traffic = {deployment.name: 100}
    ml.online_endpoints.begin_create_or_update(endpoint).result()
    return str(deployment.name)


def sent(azure: AzureFake, kind: str) -> dict[str, Any]:
    """The first body that made a resource of the kind, without what names its assets and marks."""
    body: dict[str, Any] = next(body for _, name, body in azure.arm.puts if name == kind)
    properties = dict(body["properties"])
    for key in ("model", "environmentId"):
        properties.pop(key, None)
    if code := properties.pop("codeConfiguration", None):
        properties["script"] = code["scoringScript"]
    own = {k: v for k, v in (body.get("tags") or {}).items() if not k.startswith("onnxferry")}
    return {**body, "properties": properties, "tags": own}


@SOME
def test_they_say_what_deploy_sends_and_azure_ai_ml_alone_deploys_them(
    azure: AzureFake,
    ml: MachineLearning,
    versions: dict[str, Bundle],
    tmp_path: Path,
    settings: Mapping[str, Any],
) -> None:
    folder, commands = written(tmp_path / "az", versions["a"], **settings)
    name = deployed(folder)
    theirs = {kind: sent(azure, kind) for kind in (ENDPOINTS, DEPLOYMENTS)}
    request = json.loads((folder / "request.json").read_text())
    asked = client().online_endpoints.invoke(NAME, request_file=folder / "request.json")
    assert request["inputs"]
    assert json.loads(asked) == versions["a"].golden.answer
    assert any(f'"{name}=100"' in command for command in commands)

    azure.arm.puts.clear()
    ml.workspace("rg", "second")
    deploy(
        azureml.connect(config(workspace="second", **settings), f"{NAME}2", QUICK), versions["a"]
    )
    assert {kind: sent(azure, kind) for kind in theirs} == theirs


@EACH
def test_the_loaders_take_them(
    versions: dict[str, Bundle], tmp_path: Path, settings: Mapping[str, Any], ml: MachineLearning
) -> None:
    folder, _ = written(tmp_path / "az", versions["a"], identity=IDENTITY, **settings)
    endpoint = load_online_endpoint(folder / "endpoint.yml")
    deployment = load_online_deployment(folder / "deployment.yml")
    assert endpoint.identity.user_assigned_identities[0].resource_id == IDENTITY
    assert endpoint.name == deployment.endpoint_name == NAME
    package = versions["a"].package.path
    assert Path(deployment.model.path).resolve() == package / "model"
    said = yaml.safe_load((folder / "deployment.yml").read_text())
    assert not Path(said["model"]["path"]).is_absolute()
    if "image" in settings:
        assert deployment.environment.image == settings["image"]
        assert not (folder / "env.yml").exists()
    else:
        own = yaml.safe_load((package / "env.yml").read_text())
        assert yaml.safe_load((folder / "env.yml").read_text()) == own
        facts = {"name": "env", **said["environment"]}
        (folder / "environment.yml").write_text(yaml.safe_dump(facts))
        assert load_environment(folder / "environment.yml").conda_file == own


def test_the_packages_own_files_stay_valid(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    package = versions["a"].package.path
    endpoint = load_online_endpoint(package / "endpoint.yml").name
    assert deployed(package) == "blue"
    key = client().online_endpoints.get_keys(endpoint).primary_key
    url = client().online_endpoints.get(endpoint).scoring_uri
    headers = {"Authorization": f"Bearer {key}"}
    golden = versions["a"].golden
    request = {**headers, "Content-Type": golden.request.content_type}
    answer = httpx.post(url, content=golden.request.body, headers=request)
    assert answer.json() == golden.answer
    with pytest.raises(Exception, match="onnxferry did not make it"):
        azureml.connect(config(), endpoint, QUICK).plan_deploy(versions["a"])


def test_an_autoscale_setting_goes_with_its_command(
    versions: dict[str, Bundle], tmp_path: Path
) -> None:
    table = config().azureml
    assert table
    names = Names(SUBSCRIPTION, "rg", "work", NAME)
    desired = desired_state(versions["a"], table)
    found = az_files.az_files(names, desired, versions["a"].golden, tmp_path, {"resources": []})
    assert json.loads(found.texts["autoscale.json"]) == {"resources": []}
    group = "--resource-group rg"
    assert found.commands[-2].startswith(
        "az deployment group create --template-file autoscale.json"
    )
    assert group in found.commands[-2]
    assert f"# {found.commands[-1]}\n" in found.texts["deployment.yml"]


def test_the_command_writes_them_into_a_folder(
    versions: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = versions["a"]
    place = {"subscription": SUBSCRIPTION, "resource_group": "rg", "workspace": "work"}
    file = tmp_path / "deploy.toml"
    file.write_text("\n".join(["[azureml]", *(f'{k} = "{v}"' for k, v in place.items())]))
    model = tmp_path / "model"
    model.mkdir()
    monkeypatch.setattr("onnxferry.scripts.package.package", lambda *args, **how: bundle.package)
    monkeypatch.setattr("onnxferry.infra.cloud.bundle", lambda *args: bundle)
    options = ["--target", "azureml", "--name", NAME, "--config", str(file), "--model", str(model)]

    def run(*more: str) -> Any:
        return CliRunner().invoke(cli.cli, ["template", *options, "--format", "az-ml", *more])

    done = run("--file", str(tmp_path / "az"))
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "az").iterdir()}
    assert names == {"endpoint.yml", "deployment.yml", "env.yml", "request.json"}
    assert "az ml online-deployment create --file deployment.yml" in done.stdout
    for wrong in (run(), run("--what-if", "--file", str(tmp_path / "az"))):
        assert wrong.exit_code != 0
