"""One true path: deploy.py, the real SDKs, and packages that answer in the Azure Functions worker
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
from onnxferry.infra import functions as room
from onnxferry.scripts.package import layout_of, package
from onnxferry.scripts.rehearse import start
from tests import tiny
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.functions.azure_account import APP, GROUP, QUICK, AzureAccount, quiet
from tests.infra.proved import with_successor

pytestmark = pytest.mark.host
SOCKETS = True
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = HERE if HERE in layout_of("functions").pythons else "3.11"
Command = Callable[..., str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and another as its successor."""
    return with_successor(tmp_path_factory.mktemp("models"))


@pytest.fixture
def command(
    functions_ready: None,
    azure: AzureAccount,
    models: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Command]:
    """command("deploy", model, ...): run deploy.py, and return what it printed; packages answer in
    the real worker."""
    file = tmp_path / "deploy.toml"
    file.write_text(
        f'[functions]\nsubscription = "{SUBSCRIPTION}"\nresource_group = "{GROUP}"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))

    def run(action: str, model: Path, *more: str) -> str:
        options = [
            "--target",
            "functions",
            "--name",
            APP,
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
        assert done.stdout, done.output
        return done.stdout

    with ExitStack() as hosts:
        for model in models:
            built = package(model, "functions", out=tmp_path / "build", python=PYTHON, report=quiet)
            azure.apps.runtimes[built.sha256] = hosts.enter_context(start(built, report=quiet)).url
        yield run


def test_deploy_update_invoke_rollback_delete(
    azure: AzureAccount, models: tuple[Path, Path], command: Command, tmp_path: Path
) -> None:
    first_model, successor = models
    first = json.loads(command("deploy", first_model))
    assert first["url"].endswith("/api/score")
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
    reply = json.loads(command("invoke", first_model, "--input", str(question)))
    assert (reply["status"], reply["served_by"]) == (200, first["version"])
    assert "Rebecca" in reply["answer"]["answer"]
    second = json.loads(command("deploy", successor))
    assert (second["previous"], second["version"] != first["version"]) == (first["version"], True)
    back = json.loads(command("rollback", first_model))
    assert (back["version"], back["previous"]) == (first["version"], second["version"])
    assert "Running" in command("logs", first_model)
    assert json.loads(command("status", first_model))["version"] == first["version"]
    assert json.loads(command("delete", first_model, "--yes"))["deleted"]
    assert azure.kinds() == []
