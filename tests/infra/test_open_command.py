"""The links to the consoles' pages, which need no sign-in and no answer of a cloud."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry.cli import cli
from onnxferry.infra.azureml import console as studio
from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.infra.functions import console as portal
from onnxferry.infra.mlflow.console import model_page
from onnxferry.infra.sagemaker import console as aws
from onnxferry.system.errors import UsageError

WHERE = "subscription = '00000000-0000-0000-0000-000000000000'\nresource_group = 'ml'\n"
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/ml"
TOML = f"""
[sagemaker]
region = "eu-west-1"
[azureml]
{WHERE}workspace = "work"
[functions]
{WHERE}
[mlflow]
tracking_uri = "https://mlflow.example.com/base/"
"""
GOVERNMENT = AzureEnvironment("AzureUSGovernment", storage_suffix="core.usgovcloudapi.net")
CHINA = AzureEnvironment("AzureChinaCloud", storage_suffix="core.chinacloudapi.cn")
ELSEWHERE = AzureEnvironment("Elsewhere", storage_suffix="example.com")
PAGES = {
    "sagemaker": "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1"
    "#/endpoints/squad",
    "azureml": f"https://ml.azure.com/endpoints/realtime/squad/detail?wsid={GROUP}/providers"
    "/Microsoft.MachineLearningServices/workspaces/work",
    "functions": f"https://portal.azure.com/#@/resource{GROUP}/providers/Microsoft.Web/sites/squad",
    "mlflow": "https://mlflow.example.com/base/#/models/squad",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "ARM_CLOUD_METADATA_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "deploy.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def opened(file: Path, target: str, *more: str) -> Result:
    words = ["open", "--target", target, "--name", "squad", "--config", str(file), *more]
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize("target", PAGES)
def test_the_page_of_an_endpoint(file: Path, target: str) -> None:
    done = opened(file, target)
    assert (done.exit_code, done.stdout) == (0, f"{PAGES[target]}\n"), done.output
    assert json.loads(opened(file, target, "--output", "json").stdout) == {"url": PAGES[target]}


def test_the_page_of_batch_jobs(file: Path) -> None:
    page = opened(file, "azureml", "--batch").stdout.strip()
    assert page == PAGES["azureml"].replace("/realtime/squad/", "/batch/squad-batch/")
    assert (
        opened(file, "sagemaker", "--batch")
        .stdout.strip()
        .endswith("home?region=eu-west-1#/transform-jobs")
    )
    refused = opened(file, "functions", "--batch")
    assert (refused.exit_code, "no console page of batch jobs" in refused.stderr) == (2, True)


@pytest.mark.parametrize("there", [True, False])
def test_in_the_browser(file: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    shown: list[str] = []

    def browser(url: str) -> bool:
        shown.append(url)
        return there

    monkeypatch.setattr(webbrowser, "open", browser)
    done = opened(file, "sagemaker", "--browser")
    assert (done.exit_code, done.stdout.strip(), shown) == (
        0,
        PAGES["sagemaker"],
        [PAGES["sagemaker"]],
    )
    assert ("no browser can be opened here" in done.stderr) is not there


def test_a_served_registry_has_its_endpoint_s_page(file: Path) -> None:
    done = opened(file, "mlflow", "--set", "deploy_to=sagemaker", "--set", "sagemaker.image=own:1")
    assert done.stdout.strip() == PAGES["sagemaker"], done.output


def test_other_parts_of_the_world() -> None:
    page = aws.endpoint_page("aws-cn", "cn-north-1", "squad")
    assert page.startswith("https://cn-north-1.console.amazonaws.cn/sagemaker/home?")
    page = aws.endpoint_page("aws-us-gov", "us-gov-west-1", "squad")
    assert page.startswith("https://us-gov-west-1.console.amazonaws-us-gov.com/sagemaker/home?")
    assert studio.endpoint_page(GOVERNMENT, "/w", "e").startswith("https://ml.azure.us/endpoints/")
    page = studio.endpoint_page(CHINA, "/w", "e", batch=True)
    assert page == "https://studio.ml.azure.cn/endpoints/batch/e/detail?wsid=/w"
    assert portal.resource_page(GOVERNMENT, "/r x") == "https://portal.azure.us/#@/resource/r%20x"


def test_what_has_no_page_is_said() -> None:
    with pytest.raises(UsageError, match="AWS partition aws-iso is not known here"):
        aws.endpoint_page("aws-iso", "us-iso-east-1", "squad")
    with pytest.raises(UsageError, match="studio of cloud Elsewhere is not known"):
        studio.endpoint_page(ELSEWHERE, "/w", "e")
    with pytest.raises(UsageError, match="portal of cloud Elsewhere is not known"):
        portal.resource_page(ELSEWHERE, "/r")
    with pytest.raises(UsageError, match=r"mlflow.db has no pages of MLflow's own; open squad"):
        model_page(Place("sqlite:///mlflow.db"), "squad")


def test_a_sign_in_is_not_shown() -> None:
    page = model_page(Place("https://user:secret@mlflow.example.com:8443"), "squad")
    assert page == "https://mlflow.example.com:8443/#/models/squad"
