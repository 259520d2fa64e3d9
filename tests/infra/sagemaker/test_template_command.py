"""`onnxferry template --target sagemaker`: what it prints and writes, whom it asks, and what it
refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra import sagemaker as room
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.target_tables import SageMaker
from tests.fakes.aws import REGION, AwsServer
from tests.infra.sagemaker.conftest import NAME, NOW, KeptSession, clock, model

Template = Callable[..., Result]


def connected(config: DeployConfig, name: str) -> SageMakerCloud:
    given = config.sagemaker or SageMaker()
    clients = AwsClients(given.profile, given.region, session=KeptSession)
    return SageMakerCloud(clients, given, name, clock(), lambda: NOW)


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    """template("--what-if", ...) runs the command, in a folder with a deploy.toml."""
    monkeypatch.chdir(tmp_path)
    Path("deploy.toml").write_text(f'[sagemaker]\nregion = "{REGION}"\n', encoding="utf-8")
    monkeypatch.setattr(room, "connect", connected)

    def run(*words: str, answer: str | None = None) -> Result:
        given = ["template", "--target", "sagemaker", *words]
        named = [] if "--name" in words else ["--name", NAME]
        done = CliRunner().invoke(cli.cli, [*given, *named], input=answer)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def built(bundles: tuple[Bundle, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The folder of a model, whose package is made already."""
    monkeypatch.setattr("onnxferry.scripts.package.package", lambda *_, **__: bundles[0].package)
    return str(model(tmp_path / "models" / "squad", 30))


def test_it_prints_either_kind_and_asks_nobody(template: Template, aws: AwsServer) -> None:
    aws.begin()
    done = template("--set", "tags.team=ml")
    assert json.loads(done.stdout)["Resources"]["Endpoint"]["Condition"] == "HasPackage"
    done = template("--format", "terraform", "--file", "made/main.tf.json")
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(Path("made/main.tf.json").read_text())["resource"]["aws_sagemaker_endpoint"]
    assert aws.calls == []


def test_what_if_shows_what_would_be_made_and_makes_nothing(
    template: Template, aws: AwsServer, built: str
) -> None:
    done = template("--what-if", "--endpoint", "--model", built)
    assert done.exit_code == 0, done.output
    assert "  endpoint squad (billed by the hour)" in done.stdout
    assert (dict(aws.stacks), aws.keys) == ({}, {})
    steps = json.loads(template("--what-if", "--output", "json").stdout)["steps"]
    assert [(s["action"], s["resource"]) for s in steps[:3]] == [
        ("create", "stack"),
        ("create", "bucket"),
        ("create", "role"),
    ]


def test_deploy_asks_and_without_an_answer_makes_nothing(
    template: Template, aws: AwsServer
) -> None:
    done = template("--deploy")
    assert done.exit_code == 2
    assert "where nobody can answer, give --yes" in done.stderr
    assert template("--deploy", answer="n\n").exit_code == 1
    assert dict(aws.stacks) == {}
    done = template("--deploy", answer="y\n")
    assert "Deploy the template of squad on sagemaker? [y/N]" in done.stderr
    assert "deploy --target sagemaker --name squad" in done.stdout
    again = template("--deploy")  # nobody is asked for nothing
    assert (again.exit_code, "nothing to do" in again.stderr) == (0, True)


def test_the_endpoint_in_one_command(template: Template, aws: AwsServer, built: str) -> None:
    done = template("--deploy", "--endpoint", "--yes", "--model", built)
    assert done.exit_code == 0, done.output
    assert "Next: onnxferry invoke --target sagemaker --name squad" in done.stdout
    assert aws.endpoints[NAME].state == "InService"
    again = template("--deploy", "--endpoint", "--model", built)
    assert "nothing to do" in again.stderr


@pytest.mark.usefixtures("aws")
def test_another_run_is_at_work(template: Template) -> None:
    from onnxferry.infra.lease import held, this_run

    template("--deploy", "--yes")
    cloud = connected(DeployConfig(sagemaker=SageMaker(region=REGION)), NAME)
    with held(cloud.lease_store, this_run("deploy"), print):
        done = template("--deploy", "--yes", "--set", "tags.team=ml")
    assert done.exit_code == 1
    assert "works at this endpoint; nothing is done" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--what-if", "--deploy"), "give one of them"),
        (("--endpoint",), "--endpoint goes with --what-if or --deploy"),
        (("--format", "arm"), "--target sagemaker has templates of --format cloudformation or"),
        (("--format", "terraform", "--deploy"), "terraform plan"),
        (("--set", "serving.instance_count=0"), "sagemaker.serving.instance_count"),
        (("--set", "scaling.max=3"), "scaling.target is not set"),
        (("--set", "rollout.traffic=canary"), "needs at least 2 instances"),
        (("--python", "2.7"), "Python 2.7 is not what sagemaker runs"),
    ],
)
@pytest.mark.usefixtures("aws")
def test_what_is_wrong_is_said(template: Template, words: tuple[str, ...], said: str) -> None:
    done = template(*words)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_what_is_given_leaves_nothing_to_make(template: Template, aws: AwsServer) -> None:
    role = "role=arn:aws:iam::123456789012:role/theirs"
    done = template("--deploy", "--yes", "--set", "bucket=theirs", "--set", role)
    assert (done.exit_code, dict(aws.stacks)) == (0, {})
    assert "nothing to do. Bucket and role are there" in " ".join(done.stderr.split())
