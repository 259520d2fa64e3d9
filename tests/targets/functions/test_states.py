"""The Functions app of a text model inside the Azure Functions worker: without a key, killed and
started again, with models that cannot be loaded, and with a wrong app setting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from onnxferry.scripts.rehearse import Host
from onnxferry.scripts.rehearse.functions import RUNTIME
from onnxferry.system.errors import RehearsalError
from tests import tiny
from tests.targets.functions.worker import App, ask, error
from tests.targets.served import ANSWER, GOLDEN

pytestmark = pytest.mark.host
ANYBODY = {"ONNXFERRY_FUNCTIONS_AUTH": "anonymous"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("functions")
    return App.of(tiny.text_classification(folder / "model", golden=GOLDEN), folder)


def score(host: Host) -> httpx.Response:
    return ask(host, "POST", "/api/score", None, content=GOLDEN.request.body)


def half_sent(host: Host) -> socket.socket:
    """A connection whose request has begun to come."""
    url = httpx.URL(host.url)
    connection = socket.create_connection((url.host, url.port or 80), 10)
    connection.sendall(b"POST /api/score HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n{")
    return connection


def test_anybody_may_ask_every_route_of_an_anonymous_app(app: App) -> None:
    with app.started(**ANYBODY) as host:
        RUNTIME.prove(host, host.unpacked)
        assert (score(host).status_code, score(host).content) == (200, ANSWER)
        for path in ("/api/docs", "/api/docs/swagger-ui.css", "/api/health", "/api/ready"):
            assert ask(host, "GET", path, None).status_code == 200
        told = ask(host, "GET", "/api/openapi.json", None).json()
        assert "security" not in told
        assert "/api/classify" not in told["paths"]
        content = told["paths"]["/api/score"]["post"]["requestBody"]["content"]
        example = content["application/json"]["example"]
        assert ask(host, "POST", "/api/score", None, json=example).content == ANSWER
        for method in ("GET", "POST"):
            answer = ask(host, method, "/api/classify?img=https://a.example/cat.png", None)
            assert error(answer) == (400, "invalid_value")
            assert "text-classification" in answer.text


def test_a_worker_that_was_killed_is_started_again(app: App) -> None:
    with app.started(**ANYBODY) as host, half_sent(host) as connection:
        app.kill()
        with suppress(ConnectionResetError):  # as a system closes what is still half read
            assert connection.recv(1) == b""
    with app.started(**ANYBODY) as host:
        assert score(host).content == ANSWER


@pytest.fixture(params=["no model", "a damaged graph"])
def unusable(request: pytest.FixtureRequest, app: App, tmp_path: Path) -> Iterator[Host]:
    copy = app.copied(tmp_path / "wwwroot")
    (copy.folder / "model" / "model.onnx").unlink()
    if request.param == "no model":
        (copy.folder / "model" / "model_spec.json").unlink()
    else:
        (copy.folder / "model" / "model.onnx").write_bytes(b"damaged")
    with copy.started(**ANYBODY) as host:
        yield host


def test_a_model_that_cannot_be_loaded_is_told_by_every_request(unusable: Host) -> None:
    for method, path in (
        ("POST", "/api/score"),
        ("GET", "/api/classify"),
        ("GET", "/api/openapi.json"),
        ("POST", "/api/score"),
    ):
        answer = ask(unusable, method, path, None)
        assert error(answer) == (500, "invalid_model")
        assert "model/model" in answer.json()["error"]["message"]
        assert str(unusable.unpacked.app) not in answer.text
    ready = ask(unusable, "GET", "/api/ready", None)
    assert (ready.status_code, ready.json()) == (503, {"status": "failed"})
    assert ask(unusable, "GET", "/api/health", None).status_code == 200
    with pytest.raises(RehearsalError, match="GET /api/ready was answered with status 503"):
        RUNTIME.prove(unusable, unusable.unpacked)
    assert unusable.log_tail().count("the model cannot be loaded") == 1


def test_an_unknown_level_is_told_when_the_app_is_indexed(app: App) -> None:
    said = "ONNXFERRY_FUNCTIONS_AUTH must be function or anonymous, got 'nobody'"
    with pytest.raises(RehearsalError, match=said), app.started(ONNXFERRY_FUNCTIONS_AUTH="nobody"):
        pass
