"""The Functions app inside the Azure Functions worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from onnxferry.scoring import Request
from onnxferry.scripts.rehearse import Host
from tests.targets.served import ANSWER, GOLDEN, serving

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving("functions", tmp_path_factory.mktemp("functions")) as host:
        yield host


def test_the_first_requests_may_come_together(host: Host) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: host.send(GOLDEN.request), range(8)))
    assert {answer.body for answer in answers} == {ANSWER}


def test_the_answer_is_json(host: Host) -> None:
    answer = host.send(GOLDEN.request)
    assert (answer.status, answer.content_type.partition(";")[0]) == (200, "application/json")


def test_a_refusal_keeps_its_status_and_body(host: Host) -> None:
    answer = host.send(Request(b"not JSON"))
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] == "invalid_body"


def test_without_content_type_and_accept_it_is_json(host: Host) -> None:
    request = httpx.Request("POST", host.url, content=GOLDEN.request.body)
    with httpx.Client(trust_env=False) as client:
        response = client.send(request)
    assert (response.status_code, response.content) == (200, ANSWER)


def test_an_empty_body_is_a_refusal(host: Host) -> None:
    answer = host.send(Request(b""))
    assert answer.status == 400
    assert b"empty body" in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/api/score", 404), ("POST", "/api/other", 404)]
)
def test_what_the_host_itself_refuses(host: Host, method: str, path: str, status: int) -> None:
    url = httpx.URL(host.url).copy_with(path=path)
    assert httpx.request(method, url, trust_env=False).status_code == status
