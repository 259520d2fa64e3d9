"""The examples with the SageMaker SDK: by -m sdk they are run under both versions, against the fake
of AWS with the core as what answers, and with SageMaker's own model server. A normal run checks
what they say, and how the SDK is asked for an image."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from subprocess import run
from types import ModuleType
from typing import Any

import boto3
import pytest

from onnxferry import scoring
from onnxferry.infra.clients.containers import container
from onnxferry.infra.sagemaker.image import image
from onnxferry.scoring.wire import Request, Response
from onnxferry.scripts.package import Package, layout_of, package
from onnxferry.scripts.rehearse import find_python, start
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.documents import ROOT, code_blocks, read
from tests.examples import sdk_environments
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.invocations import Host
from tests.infra.conftest import sagemaker_ready
from tests.infra.sagemaker.conftest import aws, model, server, settings_of
from tests.packages import bare

__all__ = ["aws", "sagemaker_ready", "server"]
EXAMPLES = {"2": "sagemaker_sdk.py", "3": "sagemaker_sdk_3.py"}
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = HERE if HERE in layout_of("sagemaker").pythons else "3.12"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# Version 2 asks for the account at an address of its own, whatever AWS_ENDPOINT_URL says.
LAUNCH = """
import os, runpy, sys, sagemaker.session
sagemaker.session.sts_regional_endpoint = lambda region: os.environ["AWS_ENDPOINT_URL"]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# the SDK tells its makers of each call, unless a file of its own says not to
QUIET = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
Example = Callable[..., str]


def keywords(text: str, called: str = "") -> dict[str, Any]:
    """The constants that calls are given by name, of all or of one function."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    some = [each for each in found if ast.unparse(each.func) == called or not called]
    given = [keyword for each in some for keyword in each.keywords]
    return {k.arg or "": k.value.value for k in given if isinstance(k.value, ast.Constant)}


def text_of(file: str) -> str:
    return (ROOT / "examples" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", EXAMPLES.values())
def test_an_example_names_the_container_that_packages_are_for(file: str) -> None:
    said = keywords(text_of(file))
    transformers = said.get("transformers_version") or said.get("version")
    torch = said.get("pytorch_version") or said["base_framework_version"].removeprefix("pytorch")
    tag = image(settings_of(), REGION, layout_of("sagemaker").pythons[0]).partition(":")[2]
    assert tag.startswith(f"{torch}-transformers{transformers}-cpu-{said['py_version']}-")


def test_the_page_shows_the_model_of_the_example() -> None:
    page, called = read("docs/deploy/sagemaker-sdk.md"), "HuggingFaceModel"
    (shown,) = (code for code in code_blocks(page, "python") if f"{called}(" in code)
    assert keywords(shown, called) == keywords(text_of(EXAMPLES["2"]), called)
    assert 'env={"SAGEMAKER_PROGRAM": "inference.py"}' in shown
    assert 'env={"SAGEMAKER_PROGRAM": "inference.py"}' in text_of(EXAMPLES["2"])


def fake_sdk(monkeypatch: pytest.MonkeyPatch, parent: str, retrieve: Callable[..., str]) -> None:
    """An SDK that knows images, in the module `parent`, and no other."""
    for name in (
        "sagemaker",
        "sagemaker.core",
        "sagemaker.image_uris",
        "sagemaker.core.image_uris",
    ):
        monkeypatch.setitem(sys.modules, name, None)
    made = {name: ModuleType(name) for name in ("sagemaker", parent, f"{parent}.image_uris")}
    made[f"{parent}.image_uris"].retrieve = retrieve  # type: ignore[attr-defined]
    made[parent].image_uris = made[f"{parent}.image_uris"]  # type: ignore[attr-defined]
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("parent", ["sagemaker", "sagemaker.core"])
def test_an_sdk_of_either_version_is_asked_for_an_image(
    monkeypatch: pytest.MonkeyPatch, parent: str
) -> None:
    asked = []

    def retrieve(framework: str, region: str, **more: str) -> str:
        if region != "us-iso-east-1":
            raise ValueError(f"unsupported region {region}")
        asked.append({"framework": framework, **more})
        return "known:1"

    fake_sdk(monkeypatch, parent, retrieve)
    versions = ("4.51.3", "py312", "pytorch2.6.0")
    assert container("us-iso-east-1", *versions) == "known:1"
    assert container("xx-nowhere-1", *versions) == ""
    assert image(settings_of(), "us-iso-east-1", "3.12") == "known:1"
    assert asked[0] == {
        "framework": "huggingface",
        "version": "4.51.3",
        "py_version": "py312",
        "base_framework_version": "pytorch2.6.0",
        "image_scope": "inference",
        "instance_type": "ml.m5.large",
    }


def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sagemaker", "sagemaker.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install 'onnxferry\[sagemaker\]'"):
        image(settings_of(), "us-iso-east-1", "3.12")


@pytest.fixture
def account(aws: AwsServer) -> AwsServer:
    """An account with a bucket and a role that may read it."""
    aws.endpoints.looks = 1
    place = {"LocationConstraint": REGION}
    boto3.client("s3", REGION).create_bucket(Bucket="theirs", CreateBucketConfiguration=place)
    iam = boto3.client("iam", REGION)
    iam.create_role(RoleName="serving", AssumeRolePolicyDocument="{}")
    text = json.dumps(ALL)
    iam.put_role_policy(RoleName="serving", PolicyName="all", PolicyDocument=text)
    return aws


@pytest.fixture
def example(account: AwsServer, tmp_path: Path) -> Example:
    """example("2", archive) runs the one of a version; what it printed."""

    def ran(version: str, archive: Path) -> str:
        (tmp_path / "config.yaml").write_text(QUIET, encoding="utf-8")
        request = tmp_path / "request.json"
        request.write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
        file = ROOT / "examples" / EXAMPLES[version]
        words = [str(file), str(archive), "--bucket", "theirs", "--role", ROLE]
        start_ = ["-c", LAUNCH] if version == "2" else []
        done = run(
            [sdk_environments.python(version), *start_, *words, "--request", request],
            cwd=tmp_path,
            env=dict(variables(tmp_path)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return ran


def variables(folder: Path) -> Mapping[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    own = {"AWS_DEFAULT_REGION": REGION, "HOME": str(folder)}
    config = str(folder / "config.yaml")
    return {**kept, **own, "SAGEMAKER_USER_CONFIG_OVERRIDE": config}


def answers(printed: str) -> dict[str, Any]:
    """What the example printed of each model; the SDK prints dashes before, while it waits."""
    lines = [line.lstrip("-!").partition(": ") for line in printed.splitlines() if ": {" in line]
    return {name: json.loads(text) for name, _, text in lines}


def left(aws: AwsServer) -> list[str]:
    """What costs something, or is in the way of the next run."""
    aws.endpoints.finish()
    return [*aws.endpoints, *aws.sagemaker._models, *aws.sagemaker.endpoint_configs]


PRINTED = {"2": {"HuggingFaceModel", "Model"}, "3": {"Endpoint"}}


@pytest.mark.sdk
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("version", EXAMPLES)
def test_an_example_asks_the_core(
    account: AwsServer, example: Example, tmp_path: Path, version: str
) -> None:
    folder = model(tmp_path / "model", 30)
    built = package(folder, bare("sagemaker"), out=tmp_path / "build")
    request = Request(json.dumps({"inputs": tiny.QUESTION}).encode())
    expected = json.loads(scoring.load(folder).handle(request).body)
    printed = example(version, built.path)
    assert answers(printed) == dict.fromkeys(PRINTED[version], expected)
    assert left(account) == []


@pytest.fixture
def served(sagemaker_ready: None, account: AwsServer) -> Iterator[None]:
    """What packages answer comes from the real model server, started with the variables that the
    model was created with."""
    with ExitStack() as up:

        def host(folder: Path) -> Host:
            archive = folder.parent / "model.tar.gz"
            size = archive.stat().st_size
            built = Package("sagemaker", "squad", archive, "", size, PYTHON, ())
            usual = runtime_of("sagemaker")
            created = [call for call in account.calls if call.operation == "CreateModel"]
            given = created[-1].parameters["PrimaryContainer"].get("Environment", {})

            def environment(unpacked: Any, port: int) -> dict[str, str]:
                own = dict(usual.environment(unpacked, port))
                own.pop("SAGEMAKER_PROGRAM")
                return {**own, **given}

            runtime = replace(usual, environment=environment)
            running = up.enter_context(start(built, runtime=runtime))

            def answer(request: Request) -> Response:
                said = running.send(request)
                return Response(said.status, said.body, said.content_type)

            return answer

        account.hosts = host
        yield


@pytest.mark.sdk
@pytest.mark.host
@pytest.mark.timeout(1800)
@pytest.mark.skipif(find_python(PYTHON) is None, reason=f"needs Python {PYTHON}")
@pytest.mark.parametrize("version", EXAMPLES)
def test_an_example_asks_the_real_model_server(
    account: AwsServer, served: None, example: Example, tmp_path: Path, version: str
) -> None:
    """As each door of the SDK sets the container up: without SAGEMAKER_PROGRAM, or with it."""
    folder = model(tmp_path / "model", 30)
    built = package(folder, "sagemaker", out=tmp_path / "build", python=PYTHON)
    request = Request(json.dumps({"inputs": tiny.QUESTION}).encode())
    expected = json.loads(scoring.load(folder).handle(request).body)
    assert answers(example(version, built.path)) == dict.fromkeys(PRINTED[version], expected)
    assert left(account) == []
