"""One door: boto3 and botocore are imported in one file of infra, and only for the target that
needs them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from onnxferry.infra.clients.aws import AwsClients
from tests.test_architecture import ROOT, files, imports


def test_boto3_is_imported_in_one_file() -> None:
    users = {
        p.relative_to(ROOT).as_posix()
        for p in files("infra")
        if {"boto3", "botocore"} & set(imports(p))
    }
    assert users == {"infra/clients/aws.py"}


@pytest.mark.parametrize("words", [["--help"], ["deploy", "--help"], ["package", "--help"]])
def test_no_sdk_is_loaded_before_it_is_needed(words: list[str]) -> None:
    code = (
        "import sys; from onnxferry import cli; from click.testing import CliRunner;"
        "CliRunner().invoke(cli.cli, sys.argv[1:]);"
        "print(sorted({'boto3', 'botocore', 'azure'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code, *words]
    assert (
        subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
    )


def test_sagemaker_loads_nothing_of_azure() -> None:
    code = (
        "import sys, onnxferry.infra.sagemaker;"
        "print({'azure', 'sagemaker', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_checksum_of_a_small_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    clients = AwsClients(None, "eu-west-1")
    for text in (b"", b"x"):
        (tmp_path / "file").write_bytes(text)
        assert (
            base64.b64decode(clients.checksum(tmp_path / "file")) == hashlib.sha256(text).digest()
        )
