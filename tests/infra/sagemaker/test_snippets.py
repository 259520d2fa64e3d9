"""How a client calls the endpoint without onnxferry: the code of docs/deploy/sagemaker.md."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onnxferry.infra.cloud import Bundle
from tests import tiny
from tests.documents import snippet
from tests.fakes.aws import AwsServer
from tests.infra.sagemaker.conftest import NAME, deploy

PAGE = "docs/deploy/sagemaker.md"
PYTHON = snippet(PAGE, 'boto3.client("sagemaker-runtime"')
AWS = snippet(PAGE, "aws sagemaker-runtime")
CURL = snippet(PAGE, "--aws-sigv4")


@pytest.fixture
def folder(aws: AwsServer, bundles: tuple[Bundle, ...], tmp_path: Path) -> Path:
    """It holds question.json, and an endpoint is live."""
    deploy(bundles[0])
    (tmp_path / "question.json").write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_boto3(folder: Path) -> None:
    assert "'answer': 'Rebecca'" in run(
        [sys.executable, "-c", PYTHON.replace("my-model", NAME)], folder
    )
    refused = PYTHON.replace("my-model", NAME).replace('{"inputs": question}', '{"inputs": 3}')
    assert run([sys.executable, "-c", refused], folder).startswith('400 {"error": {"code": ')


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
def test_the_aws_cli(folder: Path) -> None:
    run(["bash", "-euc", AWS.replace("my-model", NAME)], folder)
    assert json.loads((folder / "answer.json").read_text())["answer"] == "Rebecca"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(aws: AwsServer, folder: Path) -> None:
    """Against the real service, the address stands as it is."""
    here = CURL.replace("my-model", NAME).replace(
        "https://runtime.sagemaker.eu-west-1.amazonaws.com", aws.url
    )
    assert json.loads(run(["bash", "-euc", here], folder))["answer"] == "Rebecca"
