"""One true path: deploy.py as users run it, boto3, and packages that answer in SageMaker's own
model server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring.wire import Request, Response
from onnxferry.scripts.package import Package, layout_of
from onnxferry.scripts.rehearse import find_python, start
from tests import tiny
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.invocations import Host
from tests.infra.sagemaker.conftest import NAME, model

ROOT = Path(__file__).parents[3]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = HERE if HERE in layout_of("sagemaker").pythons else "3.12"
Command = Callable[..., str]


@pytest.fixture
def command(aws: AwsServer, tmp_path: Path) -> Command:
    """command("deploy", ...): run deploy.py in a process of its own, and return what it printed."""
    aws.endpoints.looks = 0
    file = tmp_path / "deploy.toml"
    file.write_text(f'[sagemaker]\nregion = "{REGION}"\nimage = "own:1"\n', encoding="utf-8")

    def run(action: str, *more: str, code: int = 0) -> str:
        common = [
            "--target",
            "sagemaker",
            "--name",
            NAME,
            "--config",
            str(file),
            "--out",
            str(tmp_path / "build"),
        ]
        words = [sys.executable, "deploy.py", action, *common, "--python", PYTHON, *more]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture
def served(sagemaker_ready: None, aws: AwsServer) -> Iterator[None]:
    """What the account's packages answer comes from the real model server."""
    with ExitStack() as up:

        def host(folder: Path) -> Host:
            archive = folder.parent / "model.tar.gz"
            built = Package("sagemaker", "squad", archive, "", archive.stat().st_size, PYTHON, ())
            server = up.enter_context(start(built))

            def answer(request: Request) -> Response:
                said = server.send(request)
                return Response(said.status, said.body, said.content_type)

            return answer

        aws.hosts = host
        yield


@pytest.mark.host
@pytest.mark.skipif(find_python(PYTHON) is None, reason=f"needs Python {PYTHON}")
def test_deploy_update_invoke_roll_back_delete(
    aws: AwsServer, served: None, command: Command, tmp_path: Path
) -> None:
    first_model, second_model = (
        ("--model", str(model(tmp_path / str(length), length))) for length in (31, 32)
    )
    question = tmp_path / "question.json"
    question.write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
    expected = scoring.load(tmp_path / "31").handle(Request(question.read_bytes()))
    ask = ("invoke", "--input", str(question), "--output", "json")

    planned = json.loads(command("plan", *first_model, "--output", "json"))
    assert {step["action"] for step in planned["steps"]} == {"create", "check", "update"}
    first = json.loads(command("deploy", *first_model, "--output", "json"))
    assert first["url"].endswith(f"/endpoints/{NAME}/invocations")
    reply = json.loads(command(*ask))
    assert (reply["status"], reply["answer"]) == (200, json.loads(expected.body))
    assert reply["served_by"] == f"AllTraffic {first['version']}"
    again = json.loads(command("plan", *first_model, "--output", "json"))
    assert {step["action"] for step in again["steps"]} == {"reuse", "check"}

    second = json.loads(command("deploy", *second_model, "--output", "json"))
    assert second["previous"] == first["version"]
    assert json.loads(command(*ask))["served_by"] == f"AllTraffic {second['version']}"
    back = json.loads(command("rollback", "--output", "json"))
    assert (back["version"], back["previous"]) == (first["version"], second["version"])
    assert json.loads(command(*ask))["served_by"] == f"AllTraffic {first['version']}"
    assert "is up" in command("logs")
    assert json.loads(command("status", "--output", "json"))["version"] == first["version"]

    refused = tmp_path / "refused.json"
    refused.write_text('{"inputs": 3}', encoding="utf-8")
    assert "status 400" in command("invoke", "--input", str(refused), code=1)
    assert json.loads(command("delete", "--yes", "--output", "json"))["deleted"]
    assert (dict(aws.endpoints), aws.keys, aws.roles, aws.logs) == ({}, {}, {}, [])


def test_a_failure_is_a_message_and_an_exit_code(
    aws: AwsServer, command: Command, tmp_path: Path
) -> None:
    said = command("rollback", "--set", "wait_minutes=none", code=2)
    assert "sagemaker.wait_minutes" in said
    said = command("rollback", code=1)
    assert "error: AWS eu-west-1, endpoint squad: there is no previous version" in said
    assert "Traceback" not in said


def test_a_deployment_by_the_command_line_records_what_is_live(
    aws: AwsServer, command: Command, tmp_path: Path
) -> None:
    folder = model(tmp_path / "model", 30)
    shown = command("deploy", "--model", str(folder))
    assert "squad on sagemaker: InService" in shown
    entry = json.loads((tmp_path / "build" / "sagemaker" / "deployed.json").read_text())[
        "endpoints"
    ][NAME]
    assert (entry["state"], entry["versions"][0]["sha256"][:12]) == ("InService", entry["version"])
