"""Batch jobs of the command line, whose files go through SageMaker's own model server as Batch
Transform sends them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from onnxferry import cli, scoring
from onnxferry.infra.sagemaker.batch import cloud as batch_cloud
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request, Response
from onnxferry.scripts.package import Package, layout_of
from onnxferry.scripts.rehearse import find_python, start
from onnxferry.scripts.rehearse.runtime import UnpackedPackage
from onnxferry.scripts.rehearse.sagemaker import RUNTIME
from tests import tiny
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.transform_jobs import Host
from tests.infra.sagemaker.conftest import NAME, clock
from tests.packages import quick, quiet
from tests.targets.served import GOLDEN

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = HERE if HERE in layout_of("sagemaker").pythons else "3.12"
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(find_python(PYTHON) is None, reason=f"needs Python {PYTHON}"),
]
LONG = 6_000  # rows, each answered with a label of a thousand characters
LABEL = "long" * 250
Batch = Callable[..., Result]


@pytest.fixture
def served(sagemaker_ready: None, aws: AwsServer) -> Iterator[None]:
    """Jobs ask the real model server, in the environment that they say."""
    with ExitStack() as up:
        known: dict[str, Host] = {}

        def host(folder: Path, environment: Mapping[str, str]) -> Host:
            key = json.dumps([str(folder), dict(environment)], sort_keys=True)
            if key not in known:
                known[key] = up.enter_context(_container(folder, environment))
            return known[key]

        aws.transform_jobs.account.hosts = host
        yield


def _container(folder: Path, environment: Mapping[str, str]) -> Any:
    archive = folder.parent / "model.tar.gz"
    built = Package("sagemaker", "tiny", archive, "", archive.stat().st_size, PYTHON, ())

    def variables(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
        return {**RUNTIME.environment(unpacked, port), **environment}

    return _Answers(start(built, runtime=replace(RUNTIME, environment=variables), report=quiet))


class _Answers:
    """A container as what answers requests, while the context lasts."""

    def __init__(self, started: Any) -> None:
        self._started = started

    def __enter__(self) -> Host:
        host = self._started.__enter__()

        def answer(request: Request) -> Response:
            said = host.send(request)
            return Response(said.status, said.body, said.content_type)

        return answer

    def __exit__(self, *raised: Any) -> None:
        self._started.__exit__(*raised)


@pytest.fixture
def batch(aws: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """batch(model, format): the command on the files below data/FORMAT/."""
    real = batch_cloud.connect
    monkeypatch.setattr(batch_cloud, "connect", lambda config, name: real(config, name, clock()))
    monkeypatch.setattr("onnxferry.infra.command_options.CommandOptions.layout", quick("sagemaker"))
    file = tmp_path / "deploy.toml"
    file.write_text(f'[sagemaker]\nregion = "{REGION}"\nimage = "own:1"\n', encoding="utf-8")
    common = ["--target", "sagemaker", "--name", NAME, "--config", str(file), "--yes"]
    aws.s3.create_bucket("data", REGION)

    def run(model: Path, kind: str) -> Result:
        out = ["--out", str(tmp_path / f"build-{model.name}"), "--python", PYTHON]
        places = ["--input", f"s3://data/{kind}/", "--output", f"s3://data/out-{kind}/"]
        words = ["batch", *common, *out, "--model", str(model), *places]
        return CliRunner().invoke(cli.cli, words, catch_exceptions=False)

    return run


def answered(aws: AwsServer, key: str) -> list[Any]:
    return [json.loads(line) for line in aws.s3.get_object("data", key).value.splitlines()]


def test_lines_and_tables_through_the_real_container(
    aws: AwsServer, served: None, batch: Batch, tmp_path: Path
) -> None:
    model = tiny.text_classification(tmp_path / "texts", golden=GOLDEN)
    tiny.write_spec(model, replace(ModelSpec.read(model), labels=("bad", "good", LABEL)))
    lines = b'"good day"\n{"inputs": "bad", "parameters": {"top_k": 2}}\n{no JSON\n"awful"\n'
    aws.s3.put_object("data", "lines/a.jsonl", lines)
    # more than the model server sends and takes, unless it is told so
    long = b'{"inputs": "good", "parameters": {"top_k": 3}}\n' * LONG
    aws.s3.put_object("data", "lines/deep/long.jsonl", long)
    aws.s3.put_object("data", "tables/a.csv", b'text\n"good\nday"\nbad,bad\n')
    done = batch(model, "lines")
    assert done.exit_code == 0, done.output
    assert "Scored here first: 4 row(s), 3 answered, 1 refused (a.jsonl row 3:" in done.output
    assert "2 of 2 file(s) answered" in done.output
    first, second, third, fourth = answered(aws, "out-lines/a.jsonl.out")
    assert (first["label"], fourth["label"]) == ("good", "bad")
    assert [one["label"] for one in second] == ["bad", LABEL]
    assert third["error"]["code"] == "invalid_body"
    body = aws.s3.get_object("data", "out-lines/deep/long.jsonl.out").value
    assert len(body) > 6_553_500
    assert body.count(b"\n") == LONG
    done = batch(model, "tables")
    assert done.exit_code == 0, done.output
    good, bad = answered(aws, "out-tables/a.csv.out")
    assert (good["label"], bad["error"]["code"]) == ("good", "invalid_body")


@pytest.mark.series
def test_pictures_through_the_real_container(
    aws: AwsServer, served: None, batch: Batch, tmp_path: Path
) -> None:
    red = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 10, 10)).save(red, "PNG")
    asked = Request(red.getvalue(), "image/png")
    model = tiny.image_classification(tmp_path / "pictures")
    answer = json.loads(scoring.load(model).handle(asked).body)
    tiny.image_classification(model, golden=Golden(asked, answer))
    for name, data in {"a.png": red.getvalue(), "deep/b.JPG": b"no picture"}.items():
        aws.s3.put_object("data", f"pictures/{name}", data)
    done = batch(model, "pictures")
    assert done.exit_code == 0, done.output
    (good,) = answered(aws, "out-pictures/a.png.out")
    (bad,) = answered(aws, "out-pictures/deep/b.JPG.out")
    assert good == answer
    assert bad["error"]["code"] == "invalid_image"
