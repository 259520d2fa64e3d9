"""A whole server in a thread of this process: TLS, pages of other origins, slow senders, waiting
clients, and what is told where it cannot start."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import Golden
from onnxferry.targets.local import start_message
from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.config_file import ConfigError, read
from onnxferry.targets.local.keys import VARIABLE, Keys
from onnxferry.targets.local.server import Server
from tests import tiny
from tests.targets.served import ANSWER, GOLDEN


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("served") / "model", golden=GOLDEN)


def settings(model: Path, **given: Any) -> ServerConfig:
    return ServerConfig.model_validate({"models": [{"path": model}], "port": 0, **given})


@dataclass
class Running:
    """A server and its thread."""

    server: Server
    thread: threading.Thread

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", int(self.server.url.rsplit(":", 1)[1]))

    def ready(self, **client: Any) -> None:
        for _ in range(600):
            with contextlib.suppress(httpx.ConnectError):
                if httpx.get(self.server.url + "/readyz", trust_env=False, **client).is_success:
                    return
            threading.Event().wait(0.05)
        raise AssertionError("not ready in 30 s")


@contextlib.contextmanager
def running(config: ServerConfig, **client: Any) -> Iterator[Running]:
    server = Server(config)
    thread = threading.Thread(target=server.run_until_signal, daemon=True)
    thread.start()
    try:
        up = Running(server, thread)
        up.ready(**client)
        yield up
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()


def test_tls_keys_and_pages_of_other_origins(model: Path, tmp_path: Path) -> None:
    ca, keys = trustme.CA(), tmp_path / "keys"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert")
    keys.write_text("a-key-of-20-letters!\n")
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)
    origin = {"Origin": "https://page.example"}
    config = settings(
        model, tls_certificate=tmp_path / "cert", keys_file=keys, cors_origins=[origin["Origin"]]
    )
    with (
        running(config, verify=trusted) as up,
        httpx.Client(base_url=up.server.url, verify=trusted, trust_env=False) as client,
    ):
        asks = {**origin, "Access-Control-Request-Method": "POST"}
        allowed = client.options("/score", headers=asks)
        refused = client.post("/score", content=GOLDEN.request.body, headers=origin)
        key = {**origin, "Authorization": "Bearer a-key-of-20-letters!"}
        answer = client.post("/score", content=GOLDEN.request.body, headers=key)
        other = client.options("/score", headers={**asks, "Origin": "https://bad.example"})
    assert (allowed.status_code, refused.status_code, other.status_code) == (200, 401, 400)
    assert answer.content == ANSWER
    assert {r.headers["access-control-allow-origin"] for r in (allowed, refused, answer)} == {
        origin["Origin"]
    }


@pytest.fixture(scope="module")
def slow(model: Path) -> Iterator[Running]:
    with running(settings(model, body_seconds=0.3, connections=4)) as up:
        yield up


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", b"slow_head"),
        (b"POST /score HTTP/1.1\r\nHost: x\r\n", b"slow_head"),
        (b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12", b"slow_body"),
    ],
)
def test_a_slow_sender_is_told_and_closed(slow: Running, sent: bytes, code: bytes) -> None:
    with socket.create_connection(slow.address, timeout=20) as connection:
        connection.sendall(sent)
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.startswith(b"HTTP/1.1 408 ")
    assert code in got


def test_what_follows_an_answer_must_come_in_time_too(slow: Running) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    with socket.create_connection(slow.address, timeout=20) as connection:
        connection.sendall(head)
        got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert (got.startswith(b"HTTP/1.1 404 "), got.count(b"HTTP/1.1")) == (True, 1)


def test_more_connections_are_refused(slow: Running) -> None:
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(socket.create_connection(slow.address, timeout=20))
            for _ in range(8)
        ]
        answers = [connection.recv(12) for connection in made]
    assert answers.count(b"HTTP/1.1 503") == 4
    assert answers.count(b"HTTP/1.1 408") == 4
    slow.ready()


def test_a_model_that_answers_otherwise_is_not_served(tmp_path: Path) -> None:
    wrong = Golden(GOLDEN.request, [{"label": "bad", "score": 0.5}])
    server = Server(settings(tiny.text_classification(tmp_path / "model", golden=wrong)))
    with pytest.raises(ModelError, match="the answer to the golden request differs"):
        server.run_until_signal()
    skipping = settings(tmp_path / "model", skip_golden=True)
    with running(skipping) as up:
        url = up.server.url + "/score"
        assert httpx.post(url, content=GOLDEN.request.body, trust_env=False).content == ANSWER


def test_what_cannot_be_used_is_told_at_start(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("no certificate")
    with pytest.raises(ConfigError, match="bad: no TLS certificate and key in PEM"):
        Server(settings(model, tls_certificate=tmp_path / "bad"))
    with pytest.raises(ConfigError, match="none: no TLS certificate and key in PEM"):
        Server(settings(model, tls_certificate=tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}: another program listens there"):
            Server(settings(model, port=port))
    with pytest.raises(ConfigError, match=r"cannot listen on nowhere\.invalid"):
        Server(settings(model, host="nowhere.invalid"))


def test_two_models_of_one_name_and_a_folder_that_is_not_there(model: Path, tmp_path: Path) -> None:
    twice = ServerConfig.model_validate({"models": [{"path": model}] * 2, "port": 0})
    with pytest.raises(ModelError, match="give one another name"):
        Server(twice).run_until_signal()
    with pytest.raises(ModelError, match="absent"):
        Server(settings(tmp_path / "absent")).run_until_signal()


def test_a_deepsparse_folder_is_served_by_its_own_file(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deployment"
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (folder / name).write_bytes((model / name).read_bytes())
    (folder / "config.json").write_text(
        '{"id2label": {"0": "bad", "1": "fair", "2": "good"}, "pad_token_id": 0}'
    )
    file = tmp_path / "server.yaml"
    file.write_text(
        f"endpoints: [{{task: text_classification, model: {folder}, name: feelings, route: /feel}}]"
    )
    found, _ = read(file)
    config = ServerConfig.model_validate({**found, "port": 0})
    with running(config) as up, httpx.Client(base_url=up.server.url, trust_env=False) as client:
        answer = client.post("/v2/models/feel/infer", json={"sequences": "good good"}).json()
    assert set(answer) == {"labels", "scores"}
    assert answer["labels"] == ["fair"]


def test_when_it_ends_it_is_not_ready_and_serves_on_for_a_while(model: Path) -> None:
    with running(settings(model, drain_seconds=30)) as up:
        up.server.loop.call_soon_threadsafe(up.server.handle_exit, 15, None)
        codes = set()
        for path in ("/ping", "/readyz"):
            for _ in range(100):
                code = httpx.get(up.server.url + path, trust_env=False).status_code
                if code == 503:
                    break
            codes.add(code)
        body = GOLDEN.request.body
        answer = httpx.post(up.server.url + "/score", content=body, trust_env=False)
        assert (codes, answer.content) == ({503}, ANSWER)


def test_it_warns_where_others_reach_it(model: Path) -> None:
    keys = Keys()
    assert not [*start_message.warnings(settings(model), keys)]
    (told,) = start_message.warnings(settings(model, host="0.0.0.0"), keys)  # noqa: S104
    assert "no API keys" in told
    keys.read(None, {VARIABLE: "a-key-of-20-letters!"})
    (told,) = start_message.warnings(settings(model, host="0.0.0.0"), keys)  # noqa: S104
    assert "unencrypted" in told


def test_a_client_that_leaves_while_it_waits_is_not_scored(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"inputs": ["good day"] * 900}).encode()
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running(settings(model, in_flight=1)) as up:
        made = [socket.create_connection(up.address, timeout=20) for _ in range(12)]
        for connection in made:
            connection.sendall(head + body)
        for connection in made[1:]:
            connection.close()
        assert made[0].recv(12) == b"HTTP/1.1 200"
        made[0].close()
        up.ready()
        url = up.server.url + "/score"
        answer = httpx.post(url, content=GOLDEN.request.body, trust_env=False)
    assert answer.content == ANSWER
    assert not [record for record in caplog.records if record.exc_info]


def test_without_the_playground_there_is_no_page(model: Path) -> None:
    with running(settings(model, playground=False)) as up:
        page = httpx.get(up.server.url + "/", trust_env=False)
        script = httpx.get(up.server.url + "/playground/app.js", trust_env=False)
        answer = httpx.post(up.server.url + "/predict", json={"inputs": "x"}, trust_env=False)
    assert (page.status_code, script.status_code, answer.status_code) == (404, 404, 200)


def test_a_graph_of_deepsparse_that_cannot_be_loaded_is_named_by_its_own_path(
    model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sparse"
    shutil.copytree(model, folder)
    (folder / "model_spec.json").unlink()
    labels = {"id2label": {"0": "a", "1": "b"}, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(labels), encoding="utf-8")
    (folder / "model.onnx").write_bytes(b"no graph")
    given = {"path": folder, "task": "text_classification"}
    server = Server(ServerConfig.model_validate({"models": [given], "port": 0}))
    with pytest.raises(ModelError) as caught:
        server.run_until_signal()
    assert str(folder / "model.onnx") in str(caught.value)
    assert "onnxferry-serve-" not in str(caught.value)
