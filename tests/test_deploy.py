"""The command line: what it says before any cloud is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra.requests import request_of, show
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.errors import UsageError
from tests import tiny

ROOT = Path(__file__).parent.parent


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.cli, args)


def test_help_names_every_action_and_imports_no_sdk() -> None:
    code = (
        "import sys; from onnxferry import cli; from click.testing import"
        " CliRunner;print(CliRunner().invoke(cli.cli, ['--help']).output);print({'boto3',"
        " 'botocore', 'azure', 'pydantic', 'onnxruntime', 'torch', 'numpy', 'rich'} &"
        " set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for action in (
        "deploy",
        "plan",
        "package",
        "rehearse",
        "invoke",
        "status",
        "logs",
        "rollback",
        "delete",
        "init",
    ):
        assert f"\n  {action} " in done.stdout
    assert done.stdout.rstrip().endswith("set()")


def test_deploy_is_the_default_action(tmp_path: Path) -> None:
    shown = run("--target", "sagemaker", "--help").output
    assert "Package the model and put it live" in shown
    file = str(tmp_path / "deploy.toml")
    result = run("--target", "sagemaker", "--set", "region=nowhere", "--config", file)
    assert result.exit_code == 2
    assert "sagemaker.region" in result.stderr


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['boto3'] = None; from onnxferry.cli import main; main()"
    words = ("status", "--target", "sagemaker", "--name", "squad")
    command = [sys.executable, "-c", code, *words, "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'onnxferry[aws]'" in done.stderr


def test_init_writes_a_starter(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    assert run("init", "--target", "azureml", "--config", str(file)).exit_code == 0
    assert "[azureml]" in file.read_text()


def test_the_name_of_an_endpoint_is_checked(tmp_path: Path) -> None:
    result = run(
        "status",
        "--target",
        "sagemaker",
        "--name",
        "not a name",
        "--config",
        str(tmp_path / "none.toml"),
    )
    assert result.exit_code == 2
    assert "model.name" in result.stderr
    assert "3-32 letters" in result.stderr


def test_an_unknown_table_says_where_it_came_from(tmp_path: Path) -> None:
    result = run(
        "status",
        "--target",
        "sagemaker",
        "--set",
        "clouds.region=x",
        "--config",
        str(tmp_path / "none.toml"),
    )
    assert "clouds (--set clouds.region): no such key" in result.stderr


def test_credentials_are_checked_before_packaging(tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    environment: dict[str, str | None] = {
        **{name: None for name in os.environ if name.startswith("AWS_")},
        "AWS_CONFIG_FILE": none,
        "AWS_SHARED_CREDENTIALS_FILE": none,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    folder, out = tiny.question_answering(tmp_path / "model"), tmp_path / "build"
    settings = ("--config", f"{none}.toml", "--set", "region=eu-west-1", "--out", str(out))
    words = ["deploy", "--target", "sagemaker", "--model", str(folder), *settings]
    result = CliRunner().invoke(cli.cli, words, env=environment)
    assert result.exit_code == 1
    assert "nobody is signed in" in result.stderr
    assert not out.exists()


def test_a_request_is_a_file_or_standard_input_or_a_text(tmp_path: Path) -> None:
    assert json.loads(request_of(None, "hello", None).body) == {"inputs": "hello"}
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8")
    assert request_of(photo, None, None).content_type == "image/jpeg"
    assert request_of(photo, None, "image/x-own").content_type == "image/x-own"
    for source, text in ((None, None), (photo, "hello")):
        with pytest.raises(UsageError, match="one of them"):
            request_of(source, text, None)
    with pytest.raises(UsageError, match="cannot be read"):
        request_of(tmp_path / "none.json", None, None)


def test_a_reply_goes_to_standard_output_and_its_facts_beside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply = Reply(200, b'{"answer": "Rebecca"}', "application/json", 0.0123, "blue")
    show(reply, "text")
    text = capsys.readouterr()
    assert text.out == '{"answer": "Rebecca"}\n'
    assert "12 ms, served by blue" in text.err
    show(reply, "json")
    assert json.loads(capsys.readouterr().out)["answer"] == {"answer": "Rebecca"}
