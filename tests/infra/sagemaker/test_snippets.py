"""How to ask an endpoint without onnxferry. What the README shows of these is what runs here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onnxferry.infra.cloud import Bundle
from tests import tiny
from tests.fakes.aws import Double
from tests.infra.sagemaker.conftest import NAME, deploy

README = Path(__file__).parents[3] / "README.md"
PYTHON = """\
import json

import boto3

question = {"question": "What is the middle name of Dolly", "context": "Dolly Rebecca Parton was born in 1946"}
runtime = boto3.client("sagemaker-runtime", region_name="eu-west-1")
try:
    reply = runtime.invoke_endpoint(
        EndpointName="my-model", ContentType="application/json", Body=json.dumps({"inputs": question})
    )
    print(json.load(reply["Body"]))
except runtime.exceptions.ModelError as e:  # the model refused it: its own status and body
    print(e.response["OriginalStatusCode"], e.response["OriginalMessage"])
"""
AWS = r"""
aws sagemaker-runtime invoke-endpoint --region eu-west-1 --endpoint-name my-model \
    --content-type application/json --body fileb://question.json answer.json
""".lstrip()
CURL = r"""
curl --silent --show-error --fail-with-body --aws-sigv4 "aws:amz:eu-west-1:sagemaker" \
    --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    ${AWS_SESSION_TOKEN:+--header "x-amz-security-token: $AWS_SESSION_TOKEN"} \
    --header "Content-Type: application/json" --data-binary @question.json \
    https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/my-model/invocations
""".lstrip()
SHOWN = {'sagemaker-runtime", region': PYTHON, "aws sagemaker-runtime": AWS, "--aws-sigv4": CURL}


@pytest.mark.parametrize("mark", SHOWN)
def test_the_readme_shows_what_runs_here(mark: str) -> None:
    blocks = re.findall(r"```\w*\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert [block for block in blocks if mark in block] in ([], [SHOWN[mark]])


@pytest.fixture
def folder(aws: Double, bundles: tuple[Bundle, ...], tmp_path: Path) -> Path:
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
def test_curl(aws: Double, folder: Path) -> None:
    """Against the real service, the address stands as it is."""
    here = CURL.replace("my-model", NAME).replace(
        "https://runtime.sagemaker.eu-west-1.amazonaws.com", aws.url
    )
    assert json.loads(run(["bash", "-euc", here], folder))["answer"] == "Rebecca"
