"""What a client gets while models load, when the server ends, and without an API key."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from onnxferry.scoring.errors import ScoringError
from onnxferry.targets.local.config import ModelConfig, ServerConfig
from onnxferry.targets.local.config_file import ConfigError
from onnxferry.targets.local.gate import LIVE, METRICS, READY, Gate, State
from onnxferry.targets.local.keys import Keys
from onnxferry.targets.local.refusals import Refusal
from onnxferry.targets.local.server import Server
from onnxferry.targets.local.workers.backend import WorkerDeath

KEY, OTHER = "a-key-of-20-letters!", "another-key-of-this-server"


async def answering(scope: object, receive: object, send: object) -> None:
    from starlette.responses import Response

    await Response("answer")(scope, receive, send)


def keys(text: str = "") -> Keys:
    made = Keys()
    made.read(None, {"ONNXFERRY_SERVER_KEYS": text})
    return made


def ready(gate: Gate) -> Gate:
    gate.application, gate.state = answering, State.READY
    return gate


def ask(gate: Gate, path: str, **headers: str) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(
                path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

    return asyncio.run(once())


@pytest.mark.parametrize("path", ["/ping", "/v2/health/ready", "/v2/models/x/ready", "/score"])
def test_until_the_models_are_loaded_it_lives_and_is_not_ready(path: str) -> None:
    gate = Gate(keys())
    refused = ask(gate, path)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "the models are being loaded" in refused.text
    assert all(ask(gate, live).status_code == 200 for live in LIVE)
    assert ask(ready(gate), path).text == "answer"


def test_the_page_of_errors_has_each_of_the_servers() -> None:
    page = (Path(__file__).parents[3] / "docs/errors.md").read_text(encoding="utf-8")
    kinds: list[type[ScoringError]] = [*Refusal.__subclasses__(), WorkerDeath]
    for refusal in kinds:
        assert re.search(rf"^\| `{refusal.code}` \| {refusal.status} \|", page, re.MULTILINE)


def test_health_paths_say_what_they_are_asked() -> None:
    gate = ready(Gate(keys()))
    assert ask(gate, "/livez").json() == {"live": True}
    assert ask(gate, "/readyz").json() == {"ready": True}


def test_when_it_ends_it_is_not_ready_and_answers_on() -> None:
    gate = ready(Gate(keys()))
    gate.state = State.DRAINING
    codes = {path: ask(gate, path).status_code for path in ("/ping", "/readyz", "/score", "/livez")}
    assert codes == {"/ping": 503, "/readyz": 503, "/score": 200, "/livez": 200}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {OTHER}"},
        {"x_api_key": KEY},
        {"api_key": OTHER},
        {"x_functions_key": KEY},
    ],
)
def test_each_key_in_each_header(headers: dict[str, str]) -> None:
    assert ask(ready(Gate(keys(f"{KEY},{OTHER}"))), "/score", **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"x_api_key": KEY[:-1]}, {"x_api_key": KEY + "!"}, {"Authorization": f"Basic {KEY}"}],
)
def test_without_a_key_it_is_refused(headers: dict[str, str]) -> None:
    refused = ask(ready(Gate(keys(KEY))), "/score", **headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert KEY not in refused.text


def test_health_is_open_and_metrics_by_choice() -> None:
    closed, opened = Gate(keys(KEY)), Gate(keys(KEY), METRICS)
    assert [ask(ready(closed), p).status_code for p in ("/ping", "/metrics")] == [200, 401]
    assert [ask(ready(opened), p).status_code for p in ("/ping", "/metrics")] == [401, 200]
    assert not READY & METRICS


def test_keys_of_a_file_are_read_anew_and_never_shown(tmp_path: Path) -> None:
    file, held = tmp_path / "keys", Keys()
    file.write_text(f"# of the team\n{KEY}\n\n")
    held.read(file, {})
    assert (held.admit({b"x-api-key": KEY.encode()}), len(held)) == (True, 1)
    file.write_text("short")
    with pytest.raises(ConfigError, match=r"keys, line 1: a key has at least 16") as raised:
        held.read(file, {})
    assert "short" not in str(raised.value)
    assert held.admit({b"x-api-key": KEY.encode()})
    file.write_text(OTHER)
    held.read(file, {})
    assert not held.admit({b"x-api-key": KEY.encode()})
    assert KEY not in repr(held)
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            held.read(wrong, {})


def test_a_second_signal_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(ServerConfig(models=(ModelConfig(path=tmp_path),), port=0))
    made = Path(server._made.enter_context(TemporaryDirectory()))
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    for _ in range(2):
        server.handle_exit(signal.SIGTERM, None)
    server._sockets[0].close()
    assert (ended, made.exists()) == ([143], False)
