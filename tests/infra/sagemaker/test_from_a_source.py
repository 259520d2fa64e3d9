"""One command from a model of the hub to an endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.infra.command_options import CommandOptions
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.hub import HubDouble, content
from tests.packages import bare
from tests.scripts import checkpoints

pytestmark = pytest.mark.toolchain
TEXT = "the quick fox is glad"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CommandOptions, "layout", bare("sagemaker"))  # without libraries
    with HubDouble() as double:
        double.connect(monkeypatch, tmp_path / "home")
        yield double


def run(action: str, *more: str, code: int = 0) -> tuple[Any, str]:
    """What the command printed as JSON, and what it said beside."""
    words = [action, "--target", "sagemaker", "--output", "json", *more]
    result = CliRunner().invoke(cli.cli, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return (json.loads(result.stdout) if result.stdout else None), result.stderr


def test_deploy_goes_from_a_hub_model_to_an_endpoint(
    aws: AwsServer, hub: HubDouble, tmp_path: Path
) -> None:
    aws.endpoints.looks = 0
    trained = checkpoints.bert(tmp_path / "trained", "text-classification")
    commit = hub.push("org/moods", content(trained))
    hub.models["org/moods"].refs["v1"] = commit
    settings = f'region = "{REGION}"\nimage = "own:1"\n'
    Path("deploy.toml").write_text(
        f'[model]\nsource = "org/moods@v1"\nvariant = "fp32"\n[sagemaker]\n{settings}'
    )

    first, said = run("deploy", "--yes")

    assert "build/models/moods: is not there" in said
    assert first["name"] == "moods"
    reply, _ = run("invoke", "--text", TEXT)
    [expected] = transformers.pipeline("text-classification", model=str(trained))(TEXT)
    answer = reply["answer"][0] if isinstance(reply["answer"], list) else reply["answer"]
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)

    hub.calls.clear()
    _, said = run("drift")
    assert f"is as prepared from org/moods@v1, commit {commit[:12]}" in said
    assert hub.sent() == []

    hub.calls.clear()
    run("status")
    assert hub.calls == []  # only what looks at the model asks the hub
