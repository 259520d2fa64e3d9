"""The AzureML adapter inside AzureML's own inference server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from onnxferry.scoring import Request
from onnxferry.scripts.rehearse import Host
from tests.targets.served import ANSWER, GOLDEN, serving

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with serving("azureml", tmp_path_factory.mktemp("azureml")) as host:
        yield host


def test_the_answer_is_not_encoded_twice(host: Host) -> None:
    answer = host.send(GOLDEN.request)
    assert (answer.status, answer.body, answer.content_type) == (200, ANSWER, "application/json")


def test_a_refusal_keeps_its_status_and_body(host: Host) -> None:
    answer = host.send(Request(b"not JSON"))
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["code"] == "invalid_body"


def test_bytes_that_are_not_utf_8_reach_scoring(host: Host) -> None:
    answer = host.send(Request(b"\xff"))
    assert answer.status == 400
    assert b"not UTF-8" in answer.body


def test_without_content_type_and_accept_it_is_json(host: Host) -> None:
    request = httpx.Request("POST", host.url, content=GOLDEN.request.body)
    with httpx.Client(trust_env=False) as client:
        assert "content-type" not in request.headers
        response = client.send(request)
    assert (response.status_code, response.content) == (200, ANSWER)


def test_an_accept_that_cannot_be_met_is_406(host: Host) -> None:
    answer = host.send(Request(GOLDEN.request.body, accept="text/html"))
    assert (answer.status, answer.content_type) == (406, "application/json")


def test_any_accept_is_json(host: Host) -> None:
    assert host.send(Request(GOLDEN.request.body, accept="*/*")).body == ANSWER
