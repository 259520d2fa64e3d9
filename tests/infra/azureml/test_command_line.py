"""One true path: deploy.py, azure-ai-ml, and packages that answer in AzureML's inference server
itself."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra import azureml as room
from onnxferry.infra.azureml.desired import desired_state
from onnxferry.infra.cloud import bundle
from onnxferry.scripts.package import layout_of, package
from onnxferry.scripts.rehearse import start
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.login import SECRET, TOKEN
from tests.fakes.azure.providers.assets import SAS
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.online_scoring import KEY
from tests.infra.azureml.conftest import NAME, QUICK, config
from tests.infra.proved import with_successor

pytestmark = pytest.mark.host
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = HERE if HERE in layout_of("azureml").pythons else "3.11"
Command = Callable[..., str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and another as its successor."""
    return with_successor(tmp_path_factory.mktemp("models"))


@pytest.fixture
def command(
    azureml_ready: None,
    ml: MachineLearning,
    models: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Command]:
    """command("deploy", model, ...): run deploy.py, and return what it printed; packages answer in
    the real server."""
    file = tmp_path / "deploy.toml"
    settings = {"subscription": SUBSCRIPTION, "resource_group": "rg", "workspace": "work"}
    lines = [f'{key} = "{value}"' for key, value in settings.items()]
    file.write_text("\n".join(["[azureml]", *lines]), encoding="utf-8")
    monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))

    def run(action: str, model: Path, *more: str) -> str:
        options = [
            "--target",
            "azureml",
            "--name",
            NAME,
            "--config",
            str(file),
            "--out",
            str(tmp_path / "build"),
        ]
        done = CliRunner().invoke(
            cli.cli,
            [
                action,
                *options,
                "--model",
                str(model),
                "--python",
                PYTHON,
                "--output",
                "json",
                *more,
            ],
        )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert not [secret for secret in (SECRET, TOKEN, KEY, SAS) if secret in done.output]
        assert done.stdout, done.output
        return done.stdout

    mine = config().azureml
    assert mine
    with ExitStack() as hosts:
        for model in models:
            built = package(model, "azureml", out=tmp_path / "build", python=PYTHON)
            version = desired_state(bundle(built, model), mine).versions["model"]
            ml.runtimes[version] = hosts.enter_context(start(built)).url
        yield run


def test_deploy_update_invoke_rollback_delete(
    azure: AzureFake,
    ml: MachineLearning,
    models: tuple[Path, Path],
    command: Command,
    tmp_path: Path,
) -> None:
    first_model, successor = models
    planned = json.loads(command("plan", first_model))
    assert {step["action"] for step in planned["steps"]} >= {"create", "check"}
    first = json.loads(command("deploy", first_model))
    assert first["url"].endswith("/score")
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
    reply = json.loads(command("invoke", first_model, "--input", str(question)))
    assert reply["status"] == 200
    assert reply["answer"]["answer"].startswith("Rebecca")
    assert reply["served_by"].startswith(f"v{first['version']}")
    second = json.loads(command("deploy", successor))
    assert second["previous"] == first["version"]
    assert json.loads(command("deploy", successor))["version"] == second["version"]
    third = json.loads(command("rollback", first_model))
    assert (third["version"], third["previous"]) == (first["version"], second["version"])
    assert json.loads(command("invoke", first_model, "--text", "no question"))["status"] == 400
    assert json.loads(command("status", first_model))["state"] == "Succeeded"
    assert json.loads(command("logs", first_model))["lines"] == ["ready"]
    gone = json.loads(command("delete", first_model, "--yes"))["deleted"]
    assert ["endpoint", NAME] in gone
    assert [len(list(azure.store.all(kind))) for kind in (ENDPOINTS, DEPLOYMENTS)] == [0, 0]
    assert all(
        served.traffic and set(served.traffic) <= served.proved for served in ml.history[:-1]
    )
