"""The SageMaker adapter, called as the toolkit calls it, and inside the container's own model
server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onnxferry.scoring import Request, Scorer
from onnxferry.scripts.rehearse import Host
from onnxferry.targets.sagemaker.inference import model_fn, transform_fn
from tests import tiny
from tests.targets.served import ANSWER, GOLDEN, serving


@dataclass
class Context:
    """What the model server hands over, as far as the adapter uses it."""

    statuses: list[tuple[int, str]] = field(default_factory=list)
    given: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def get_all_request_header(self, idx: int) -> dict[str, object]:
        return {"body": {"content-type": "application/json"}, **self.given}

    def get_request_id(self, idx: int) -> str:
        return "the-servers-own"

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.headers[key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.statuses.append((code, phrase))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return model_fn(str(tiny.text_classification(tmp_path_factory.mktemp("model"))))


@pytest.mark.parametrize(
    "body", [GOLDEN.request.body.decode(), GOLDEN.request.body, bytearray(GOLDEN.request.body)]
)
def test_a_body_may_come_decoded_or_not(scorer: Scorer, body: str | bytes | bytearray) -> None:
    assert transform_fn(scorer, body, "application/json", "application/json", Context()) == ANSWER


def test_without_content_type_and_accept_it_is_json(scorer: Scorer) -> None:
    assert transform_fn(scorer, GOLDEN.request.body, None, "") == ANSWER


def test_a_good_answer_is_a_200(scorer: Scorer) -> None:
    context = Context()
    transform_fn(scorer, GOLDEN.request.body, "application/json", "application/json", context)
    assert context.statuses == [(200, "OK")]


@pytest.mark.parametrize(
    "name", ["X-Amzn-SageMaker-Inference-Id", "x-amzn-sagemaker-custom-attributes"]
)
def test_the_id_that_the_platform_passes_on_goes_back_where_it_lets_it_through(
    scorer: Scorer, name: str
) -> None:
    context = Context(given={name: "order-7"})
    transform_fn(scorer, GOLDEN.request.body, "application/json", "application/json", context)
    assert context.headers["X-Amzn-SageMaker-Custom-Attributes"] == "order-7"
    assert context.headers["X-Request-Id"] == "order-7"


def test_without_an_id_the_request_has_the_model_servers(scorer: Scorer) -> None:
    context = Context()
    transform_fn(scorer, GOLDEN.request.body, "application/json", "application/json", context)
    assert context.headers["X-Request-Id"] == "the-servers-own"


def test_the_headers_of_a_request_count(scorer: Scorer) -> None:
    context = Context(
        given={"Content-Encoding": "gzip", "Accept-Encoding": "gzip", "Content-Type": "text/html"}
    )
    body = gzip.compress(GOLDEN.request.body)
    assert transform_fn(scorer, body, "application/json", "application/json", context) == ANSWER


def test_no_body_at_all_is_a_refusal(scorer: Scorer) -> None:
    context = Context()
    body = transform_fn(scorer, None, "application/json", "application/json", context)
    assert json.loads(body)["error"]["code"] == "invalid_body"
    assert context.statuses == [(400, "Bad Request")]


def test_in_batch_transform_a_row_has_its_error_in_its_place(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, kind = Context(), "application/jsonlines"
    body = GOLDEN.request.body.replace(b"\n", b" ") + b"\n{bad\n"
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    first, second = transform_fn(scorer, body, kind, kind, context).split(b"\n")
    assert "error" not in json.loads(first)
    assert json.loads(second)["error"]["code"] == "invalid_body"
    assert context.statuses == [(200, "OK")]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving("sagemaker", tmp_path_factory.mktemp("sagemaker")) as host:
        yield host


@pytest.mark.host
def test_served_answer_and_content_type(host: Host) -> None:
    answer = host.send(GOLDEN.request)
    assert (answer.status, answer.body, answer.content_type) == (200, ANSWER, "application/json")


@pytest.mark.host
@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (Request(b"not JSON"), 400, "invalid_body"),
        (Request(b"\xff", "application/json; charset=utf-8"), 400, "invalid_body"),
        (Request(b"hello", "text/html"), 415, "unsupported_media_type"),
        (Request(b"a,a", "text/csv"), 400, "invalid_body"),
        (Request(GOLDEN.request.body, accept="text/html"), 406, "not_acceptable"),
        (Request(b" " * 5_000_001), 413, "too_large"),
    ],
)
def test_a_refusal_keeps_its_status_and_body(
    host: Host, request_: Request, status: int, code: str
) -> None:
    answer = host.send(request_)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["code"] == code


@pytest.mark.host
def test_what_the_container_itself_refuses(host: Host) -> None:
    """It decodes application/json before the adapter sees it."""
    answer = host.send(Request(b"\xff"))
    assert answer.status == 400
    assert json.loads(answer.body)["type"] == "InternalServerException"


def test_the_adapter_is_found_by_its_arity() -> None:
    """The toolkit passes a context to a model_fn of two parameters and a transform_fn of five."""
    import inspect

    assert len(inspect.signature(model_fn).parameters) == 2
    assert len(inspect.signature(transform_fn).parameters) == 5
    assert Path(inspect.getfile(model_fn)).name == "inference.py"  # SAGEMAKER_PROGRAM's default
