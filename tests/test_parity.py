"""One request, every runtime, the same bytes: each target's package in its platform's real hosting
runtime against the scoring core in this process. MLflow, whose wire is not ours, is asked in its
own form, and gives the same answer as records. What a runtime forces to be otherwise stands in
FORCED, with the reason.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.manifest import Golden, ModelSpec, Tensor
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.mlflow_requests import mlflow_golden
from onnxferry.scripts.package import package
from onnxferry.scripts.rehearse import Host, Reply, start
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS
from tests import mlflow_app, tiny
from tests.mlflow_app import MLflowApp
from tests.packages import quick, quiet
from tests.parity_requests import IMAGE, TENSORS, TEXT

pytestmark = pytest.mark.host
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PREBUILT = {"azureml": "prebuilt"}  # the images on which pictures and arrays are scored here
LIMITS = Limits(body_bytes=10_000, items=4, pixels=10_000)


@dataclass(frozen=True)
class Forced:
    """What a runtime answers in place of the core, and why it cannot be otherwise."""

    reason: str
    status: int
    content_type: str = "application/json"
    own_body: bool = False  # the runtime's body, not the core's
    code: str = ""  # the error's


DECODES = "the container decodes JSON and CSV before transform_fn sees them"
ACCEPT = "the container's content type is always Accept"
PARTS = (
    "the model server takes forms apart itself, and the container hands on only a part that is"
    " named body"
)
AS_IT_CAME = (
    "what is no request of the task goes to MLflow's server as it came, which reads it as a table"
    " or as none"
)
MEDIA_TYPES = "MLflow's server takes JSON and CSV in UTF-8, and Parquet"
ENCODING = "MLflow's server reads no content encoding"
ROWS_ALONE = "the limit is one of the items that share a run of the core, and a table has more rows"
FORCED = {
    ("sagemaker", "not UTF-8"): Forced(DECODES, 400, own_body=True),
    ("sagemaker", "gzip"): Forced(DECODES, 400, own_body=True),
    ("sagemaker", "an answer in npy"): Forced(ACCEPT, 406, "application/x-npy"),
    ("sagemaker", "an answer in HTML"): Forced(ACCEPT, 406, "text/html"),
    ("sagemaker", "an answer by weight"): Forced(ACCEPT, 200, "text/csv"),
    ("sagemaker", "lists"): Forced(ACCEPT, 200, "application/x-npy, */*"),
    ("sagemaker", "a form"): Forced(PARTS, 400, own_body=True),
    ("sagemaker", "an upload"): Forced(PARTS, 400, own_body=True),
    ("sagemaker", "two uploads and a parameter"): Forced(PARTS, 400, own_body=True),
    ("sagemaker", "an upload that is cut off"): Forced(PARTS, 400, own_body=True),
    **{
        ("mlflow", case): Forced(AS_IT_CAME, 400, code=code)
        for case, code in {
            "null": "invalid_body",
            "no inputs": "invalid_body",
            "inputs of the wrong type": "missing_field",
            "an empty list": "missing_field",
            "CSV of another width": "missing_field",
            "a small body that grows": "invalid_body",
        }.items()
    },
    **{
        ("mlflow", case): Forced(MEDIA_TYPES, 415, code="unsupported_media_type")
        for case in (
            "a picture for a text model",
            "a line that is not JSON",
            "an unknown charset",
            "plain text for two",
            "an upload that is cut off",
            "an array that is cut off",
            "a pickled array",
        )
    },
    ("mlflow", "an unknown encoding"): Forced(ENCODING, 200, own_body=True),
    ("mlflow", "too many items"): Forced(ROWS_ALONE, 200, own_body=True),
}
UNSENT = {  # refused where it would be sent
    ("mlflow", "an unknown parameter"): "MLflow passes over a param that it does not know"
}


# what the container's image runs is the local package, byte for byte: test_package_container.py
PARALLEL = sorted(set(TARGETS) - {"container"})


@pytest.fixture(scope="module", params=PARALLEL)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def serve(model: Path, target: str, out: Path, image: str = "") -> Iterator[Host | MLflowApp]:
    """The real runtime; of MLflow its server's application, which is quicker to start."""
    built = package(model, quick(target, image), out=out, python=PYTHON, report=quiet)
    serving = mlflow_app.serving if target == "mlflow" else start
    with serving(built) as host:
        yield host


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.question_answering(tmp_path_factory.mktemp("models") / "questions", limits=LIMITS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.image_classification(tmp_path_factory.mktemp("models") / "pictures", limits=LIMITS)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    tiny.colour_graph(folder / "model.onnx", 4)
    pixels = Tensor("pixel_values", "float32", ("batch", 3, 4, 4))
    logits = Tensor("logits", "float32", ("batch", 3))
    spec = ModelSpec("tiny-arrays", "tensors", inputs=(pixels,), outputs=(logits,), limits=LIMITS)
    return tiny.write_spec(folder, spec)


@pytest.fixture(scope="module")
def text_host(
    questions: Path, target: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host | MLflowApp]:
    with serve(questions, target, tmp_path_factory.mktemp("packages")) as host:
        yield host


@pytest.fixture(scope="module")
def image_host(
    pictures: Path, target: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host | MLflowApp]:
    with serve(
        pictures, target, tmp_path_factory.mktemp("packages"), PREBUILT.get(target, "")
    ) as host:
        yield host


@pytest.fixture(scope="module")
def array_host(
    arrays: Path, target: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host | MLflowApp]:
    with serve(
        arrays, target, tmp_path_factory.mktemp("packages"), PREBUILT.get(target, "")
    ) as host:
        yield host


def core(model: Path, request: Request) -> scoring.Response:
    """The core's answer, not compressed, as a client reads it."""
    return scoring.load(model).handle(replace(request, accept_encoding=""))


def ask(host: Host | MLflowApp, target: str, model: Path, request: Request) -> Reply:
    """The answer to a request as the target's wire has it."""
    return host.send(runtime_of(target).wire.request(ModelSpec.read(model), request))


def compare(answer: Reply, expected: scoring.Response, forced: Forced | None) -> None:
    assert answer.status == (forced.status if forced else expected.status)
    assert answer.content_type.partition(";")[0] == (
        forced.content_type if forced else expected.content_type
    )
    if not (forced and forced.own_body):
        assert answer.body == expected.body
    assert b"Traceback" not in answer.body
    assert not re.search(rb"\.py\b", answer.body)


def compare_records(answer: Reply, model: Path, request: Request, forced: Forced | None) -> None:
    """An answer as records is the core's; a refusal has its status and code, and tells the row."""
    expected = core(model, replace(request, accept=JSON))
    if not forced and expected.status == 200:
        golden = Golden(request, json.loads(expected.body))
        assert json.loads(answer.body) == mlflow_golden(ModelSpec.read(model), golden).answer
    elif not (forced and forced.own_body):
        code = forced.code if forced else json.loads(expected.body)["error"]["code"]
        assert json.loads(answer.body)["error"]["code"] == code
    compare(answer, expected, replace(forced or Forced("", expected.status), own_body=True))


def check(host: Host | MLflowApp, model: Path, target: str, case: tuple[str, Request]) -> None:
    name, request = case
    if (target, name) in UNSENT:
        with pytest.raises(UsageError):
            ask(host, target, model, request)
        return
    forced = FORCED.get((target, name))
    answer = ask(host, target, model, request)
    if target == "mlflow":
        compare_records(answer, model, request, forced)
    else:
        compare(answer, core(model, request), forced)


@pytest.mark.parametrize("case", TEXT.items(), ids=list(TEXT))
def test_a_text_request_is_answered_alike(
    text_host: Host | MLflowApp, questions: Path, target: str, case: tuple[str, Request]
) -> None:
    check(text_host, questions, target, case)


@pytest.mark.parametrize("case", IMAGE.items(), ids=list(IMAGE))
def test_a_picture_is_answered_alike(
    image_host: Host | MLflowApp, pictures: Path, target: str, case: tuple[str, Request]
) -> None:
    check(image_host, pictures, target, case)


@pytest.mark.parametrize("case", TENSORS.items(), ids=list(TENSORS))
def test_arrays_are_answered_alike(
    array_host: Host | MLflowApp, arrays: Path, target: str, case: tuple[str, Request]
) -> None:
    check(array_host, arrays, target, case)
