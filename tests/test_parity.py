"""One request, three runtimes, the same bytes: each target's package in its platform's real hosting runtime against the
scoring core in this process. What a runtime forces to be otherwise stands in FORCED, with the reason.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import scoring
from scoring.contract import Limits, Request
from scripts.package import TARGETS, package
from scripts.rehearse import Answer, Host, start
from tests import tiny

pytestmark = pytest.mark.host
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIMITS = Limits(body_bytes=10_000, items=4, pixels=10_000)


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, kind)
    return out.getvalue()


def body(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


TEXT = {
    "one question": Request(body({"inputs": tiny.QUESTION})),
    "the tutorial's shorthand": Request(body(tiny.QUESTION)),
    "a list": Request(body({"inputs": [tiny.QUESTION, {"question": "When", "context": "😀 it was in 1946"}]})),
    "parameters": Request(body({"inputs": tiny.QUESTION, "parameters": {"top_k": 3, "max_answer_len": 2}})),
    "a charset": Request(body({"inputs": tiny.QUESTION}), "application/json; charset=utf-8"),
    "any answer": Request(body({"inputs": tiny.QUESTION}), accept="*/*"),
    "not JSON": Request(b"hello"),
    "not UTF-8": Request(b'{"inputs": "\xff"}'),
    "an empty body": Request(b""),
    "null": Request(b"null"),
    "no inputs": Request(b"{}"),
    "inputs of the wrong type": Request(body({"inputs": 3})),
    "a context of the wrong type": Request(body({"inputs": {"question": "Who", "context": ["x"]}})),
    "an empty context": Request(body({"inputs": {"question": "Who", "context": ""}})),
    "an empty list": Request(body({"inputs": []})),
    "an unknown parameter": Request(body({"inputs": tiny.QUESTION, "parameters": {"k": 1}})),
    "too many items": Request(body({"inputs": [tiny.QUESTION] * 5})),
    "too many bytes": Request(body({"inputs": {"question": "Who", "context": "x " * 6000}})),
    "a picture for a text model": Request(picture("PNG"), "image/png"),
    "an answer in CSV": Request(body({"inputs": tiny.QUESTION}), accept="text/csv"),
}
IMAGE = {
    "a JPEG": Request(picture("JPEG"), "image/jpeg"),
    "a PNG": Request(picture("PNG"), "image/png"),
    "a WebP": Request(picture("WEBP"), "application/octet-stream"),
    "a truncated JPEG": Request(picture("JPEG")[:-300], "image/jpeg"),
    "no picture": Request(b"hello", "image/jpeg"),
    "too many pixels": Request(picture("PNG", (101, 100)), "image/png"),
    "a URL": Request(body({"inputs": "https://example.com/cat.jpg"})),
}


@dataclass(frozen=True)
class Forced:
    """What a runtime answers in place of the core, and why it cannot be otherwise."""

    reason: str
    status: int
    content_type: str = "application/json"
    own_body: bool = False  # the runtime's body, not the core's


FORCED = {
    ("sagemaker", "not UTF-8"): Forced("the container decodes JSON before transform_fn sees it", 400, own_body=True),
    ("sagemaker", "an answer in CSV"): Forced("the container's content type is always Accept", 406, "text/csv"),
}


@pytest.fixture(scope="module", params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def serve(model: Path, target: str, out: Path) -> Iterator[Host]:
    with start(package(model, target, out=out, python=PYTHON)) as host:
        yield host


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.question_answering(tmp_path_factory.mktemp("models") / "questions", limits=LIMITS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.image_classification(tmp_path_factory.mktemp("models") / "pictures", limits=LIMITS)


@pytest.fixture(scope="module")
def text_host(questions: Path, target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    yield from serve(questions, target, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def image_host(pictures: Path, target: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    yield from serve(pictures, target, tmp_path_factory.mktemp("packages"))


def compare(answer: Answer, expected: scoring.Response, forced: Forced | None) -> None:
    assert answer.status == (forced.status if forced else expected.status)
    assert answer.content_type.partition(";")[0] == (forced.content_type if forced else expected.content_type)
    if not (forced and forced.own_body):
        assert answer.body == expected.body
    assert b"Traceback" not in answer.body
    assert b".py" not in answer.body


@pytest.mark.parametrize("case", TEXT)
def test_a_text_request_is_answered_alike(text_host: Host, questions: Path, target: str, case: str) -> None:
    expected = scoring.load(questions).handle(TEXT[case])
    compare(text_host.send(TEXT[case]), expected, FORCED.get((target, case)))


@pytest.mark.parametrize("case", IMAGE)
def test_a_picture_is_answered_alike(image_host: Host, pictures: Path, target: str, case: str) -> None:
    expected = scoring.load(pictures).handle(IMAGE[case])
    compare(image_host.send(IMAGE[case]), expected, FORCED.get((target, case)))
