"""`onnxferry template`: what it prints and writes, whom it asks, and what it refuses."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra import functions as room
from onnxferry.infra.cloud import Bundle
from tests import tiny
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.functions.azure_account import APP, GROUP, QUICK, AzureAccount, deploy

Template = Callable[..., Result]
Versions = tuple[Bundle, Bundle, Bundle]


@pytest.fixture
def template(azure: AzureAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    """template("--what-if", ...) runs the command, in a folder with a deploy.toml."""
    monkeypatch.chdir(tmp_path)
    text = f'[functions]\nsubscription = "{SUBSCRIPTION}"\nresource_group = "{GROUP}"\n'
    Path("deploy.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))

    def run(*words: str, answer: str | None = None) -> Result:
        given = ["template", "--target", "functions", *words]
        named = [] if "--name" in words or "--model" in words else ["--name", APP]
        done = CliRunner().invoke(cli.cli, [*given, *named], input=answer)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_it_prints_the_template_and_asks_nobody(template: Template, azure: AzureAccount) -> None:
    azure.fake.restart_counting()
    done = template("--set", "tags.team=ml", "--python", "3.13")
    parameters = json.loads(done.stdout)["parameters"]
    assert parameters["tags"]["defaultValue"]["team"] == "ml"
    assert parameters["python"]["defaultValue"] == "3.13"
    urls = {call.path for call in azure.fake.calls}
    assert urls <= {"/metadata/endpoints"}  # where this cloud is, which is no public one


def test_it_writes_a_file(template: Template) -> None:
    done = template("--file", "made/functions.json")
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(Path("made/functions.json").read_text())["resources"]


def test_what_if_shows_what_would_be_made_and_makes_nothing(
    template: Template, azure: AzureAccount
) -> None:
    done = template("--what-if")
    assert done.exit_code == 0
    assert "Deploy the template of squad on functions (resource group ml-rg" in done.stdout
    assert "  app squad (billed by request, nothing while nobody calls it)" in done.stdout
    assert azure.kinds() == []
    steps = json.loads(template("--what-if", "--output", "json").stdout)["steps"]
    assert ("create", "app", "squad") in [(s["action"], s["resource"], s["name"]) for s in steps]


def test_deploy_asks_and_without_an_answer_makes_nothing(
    template: Template, azure: AzureAccount
) -> None:
    done = template("--deploy")
    assert done.exit_code == 2
    assert "where nobody can answer, give --yes" in done.stderr
    assert azure.kinds() == []
    assert template("--deploy", answer="n\n").exit_code == 1
    assert azure.kinds() == []
    done = template("--deploy", answer="y\n")
    assert "Deploy the template of squad on functions? [y/N]" in done.stderr
    assert "deploy --target functions --name squad" in done.stdout
    assert "sites squad" in azure.kinds()


def test_deploy_and_then_again(template: Template) -> None:
    done = json.loads(template("--deploy", "--yes", "--output", "json").stdout)
    assert ["create", "storage account", "squadd90dc744a6"] in done["deployed"]
    again = template("--deploy")  # nobody is asked for nothing
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr


def test_a_file_with_the_preview_keeps_what_is_there(
    template: Template, azure: AzureAccount, versions: Versions
) -> None:
    deploy(azure.cloud(), versions[0])
    done = template("--what-if", "--file", "functions.json")
    assert "nothing to do" in done.stdout
    kept = json.loads(Path("functions.json").read_text())["parameters"]["kept"]["defaultValue"]
    assert kept["app"]["onnxferry-version"] == versions[0].package.sha256


def test_a_model_directory_gives_the_name_and_its_size(template: Template, tmp_path: Path) -> None:
    folder = tiny.question_answering(tmp_path / "model")
    found = json.loads(template("--model", str(folder)).stdout)
    assert found["parameters"]["app"]["defaultValue"].startswith("tiny")


def test_another_run_is_at_work(
    template: Template, azure: AzureAccount, versions: Versions
) -> None:
    from onnxferry.infra.lease import held, this_run

    cloud = azure.cloud()
    deploy(cloud, versions[0])
    with held(cloud.lease_store, this_run("deploy"), print):
        done = template("--deploy", "--yes", "--set", "instance_memory_mb=512")
    assert done.exit_code == 1
    assert "works at this endpoint; nothing is done" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--what-if", "--deploy"), "give one of them"),
        (("--set", "instance_memory_mb=1"), "functions.instance_memory_mb"),
        (("--python", "2.7"), "Python 2.7 is not what functions runs"),
        (("--model", "nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_said(template: Template, words: tuple[str, ...], said: str) -> None:
    done = template(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("template")
def test_without_a_model_and_a_name_both_ways_are_told() -> None:
    done = CliRunner().invoke(cli.cli, ["template", "--target", "functions"])
    assert done.exit_code == 2
    assert "give --model DIR; or name the endpoint: --name" in done.stderr
