"""The local server in an environment of its own requirements, as a user starts it: its routes, many
clients at once, clients that go away or send no HTTP, bodies over the limit, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from onnxferry import scoring
from onnxferry.scoring import Request
from onnxferry.scoring.limits import Limits
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.rehearse import Host, start
from onnxferry.scripts.rehearse.local import RUNTIME
from onnxferry.scripts.rehearse.network import choose
from onnxferry.scripts.rehearse.processes import members
from onnxferry.scripts.rehearse.start import Surroundings
from onnxferry.system.errors import RehearsalError
from tests import tiny
from tests.packages import quiet
from tests.targets.served import ANSWER, GOLDEN, HERE, built

pytestmark = pytest.mark.host
LIMIT = 5_000_000  # Limits().body_bytes, which the packaged model has
BODY = GOLDEN.request.body
OPEN = Surroundings(choose(egress=True))  # what its sockets do is seen without a relay between


@pytest.fixture(scope="module")
def built_(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return built("local", tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def served(built_: Package) -> Iterator[Host]:
    with start(built_, around=OPEN, report=quiet) as up:
        yield up


@pytest.fixture(scope="module")
def client(served: Host) -> Iterator[httpx.Client]:
    base = str(httpx.URL(served.url).copy_with(path="/"))
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        yield client


def port_of(served: Host) -> int:
    return httpx.URL(served.url).port or 0


def connected(served: Host, sent: bytes = b"") -> socket.socket:
    """A connection over which `sent` went as it is."""
    made = socket.create_connection(("127.0.0.1", port_of(served)), timeout=30)
    made.sendall(sent)
    return made


def answered(served: Host, sent: bytes) -> bytes:
    """All that comes back for `sent` until the server closes, which it is asked to do, or must."""
    with connected(served, sent) as connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def post(body: bytes = BODY, *headers: str) -> bytes:
    lines = ("POST /score HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


def code(body: bytes) -> str:
    found: str = json.loads(body)["error"]["code"]
    return found


@pytest.mark.parametrize(
    "path", ["/score", "/invocations", "/api/score", "/predict", "/score?code=key"]
)
def test_the_routes_of_each_platform_are_one(client: httpx.Client, path: str) -> None:
    response = client.post(path, content=BODY)  # without a content type
    assert (response.status_code, response.content) == (200, ANSWER)
    assert response.headers["content-type"] == "application/json"
    refusal = client.post(path, content=b"\xff", headers={"Content-Type": "application/json"})
    assert (refusal.status_code, code(refusal.content)) == (400, "invalid_body")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_health(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "abc-1"}, {"Accept-Encoding": "gzip"}])
def test_the_cores_headers_reach_the_client(
    client: httpx.Client, served: Host, headers: dict[str, str]
) -> None:
    expected = scoring.load(served.model_dir).handle(Request.of(BODY, headers)).headers
    response = client.post(
        "/score", content=BODY, headers={"Accept-Encoding": "identity", **headers}
    )
    assert set(map(str.lower, expected)) <= set(response.headers)
    if "X-Request-Id" in headers and "X-Request-Id" in expected:
        assert response.headers["X-Request-Id"] == "abc-1"


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/score", 405, "method_not_allowed"),
        ("PUT", "/invocations", 405, "method_not_allowed"),
        ("POST", "/nope", 404, "not_found"),
        ("POST", "/../model/model_spec.json", 404, "not_found"),
    ],
)
def test_what_the_server_itself_refuses(
    client: httpx.Client, method: str, path: str, status: int, name: str
) -> None:
    response = client.request(method, path, content=BODY)
    assert (response.status_code, code(response.content)) == (status, name)
    assert "paths are in /docs" in response.json()["error"]["message"]
    assert ("allow" in response.headers) == (status == 405)


def test_an_accept_in_two_lines_is_one_list(served: Host) -> None:
    got = answered(
        served, post(BODY, "Accept: image/webp", "Accept: application/json", "Connection: close")
    )
    assert (got[:12], got[-len(ANSWER) :]) == (b"HTTP/1.1 200", ANSWER)


def test_eight_clients_at_once_get_their_own_answers(client: httpx.Client, served: Host) -> None:
    bodies = [
        tiny.golden({"inputs": ["good " * i, "bad"]}, None).request.body for i in range(1, 9)
    ] * 5
    scorer = scoring.load(served.model_dir)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda body: client.post("/score", content=body).content, bodies))
    assert got == [scorer.handle(Request(body)).body for body in bodies]


def test_a_connection_is_kept_for_the_next_request(served: Host) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", port_of(served), timeout=30)
    kept.request("POST", "/score", BODY)
    first, opened = kept.getresponse().read(), kept.sock
    for body, status in ((b"not JSON", 400), (b" " * (LIMIT + 1), 413), (BODY, 200)):
        kept.request("POST", "/score", body)
        response = kept.getresponse()
        assert (response.status, bool(response.read())) == (status, True)
        assert kept.sock is opened
    kept.close()
    assert first == ANSWER


def test_requests_in_a_row_without_waiting_are_answered_in_order(served: Host) -> None:
    got = answered(served, post(BODY) + post(b"not JSON") + post(BODY, "Connection: close"))
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400", b"200"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"hello\r\n\r\n", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), id="TLS"),
        pytest.param(post(b"", "no colon"), id="a header without a colon"),
        pytest.param(
            b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="a negative length"
        ),
        pytest.param(post(BODY, "Content-Length: 3"), id="two lengths"),
        pytest.param(
            b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            id="a bad chunk",
        ),
    ],
)
def test_bad_http_is_400_and_the_next_client_is_served(
    served: Host, client: httpx.Client, sent: bytes
) -> None:
    got = answered(served, sent)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b'"code": "invalid_http"' in got or b'"code":"invalid_http"' in got
    assert b"Traceback" not in got
    assert client.post("/score", content=BODY).content == ANSWER


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["without an end", "whole"])
def test_a_head_that_is_too_long_is_refused(served: Host, client: httpx.Client, end: bytes) -> None:
    got = answered(served, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 17_000 + end)
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.count(b"HTTP/1.1 ") == 1
    assert client.post("/score", content=BODY).content == ANSWER


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(post(BODY), id="with its answer outstanding"),
        pytest.param(post(BODY)[:-5], id="within its body"),
        pytest.param(post(BODY)[:30], id="within its headers"),
        pytest.param(b"", id="at once"),
    ],
)
def test_clients_that_go_away_break_nothing(
    served: Host, client: httpx.Client, sent: bytes
) -> None:
    for _ in range(10):
        gone = connected(served, sent)
        # a reset, not an orderly end
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
    with ThreadPoolExecutor(4) as pool:
        assert {
            r.content for r in pool.map(lambda _: client.post("/score", content=BODY), range(8))
        } == {ANSWER}
    assert "Traceback" not in served.log_tail(1000)


def test_a_body_that_announces_too_much_is_refused_unread(served: Host) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n"
    with connected(served, head + b"Expect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 413"  # and no 100 before it
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
    assert response.status == 413
    assert (
        body
        == scoring.load(served.model_dir).handle(Request(b"", content_length=9_000_000_000)).body
    )


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_over(served: Host) -> None:
    chunk = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
    with connected(
        served, b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ) as connection:
        for _ in range(LIMIT // 100_000 + 1):
            connection.sendall(chunk)
        response = http.client.HTTPResponse(connection)  # though no last chunk was sent
        response.begin()
        assert (response.status, code(response.read())) == (413, "too_large")


@pytest.mark.parametrize("pieces", [1, 7])
def test_exactly_the_limit_is_taken(client: httpx.Client, pieces: int) -> None:
    body = BODY.ljust(LIMIT)
    step = -(-LIMIT // pieces)
    parts = (body[i : i + step] for i in range(0, LIMIT, step))
    assert client.post("/score", content=parts if pieces > 1 else body).content == ANSWER
    assert client.post("/score", content=body + b" ").status_code == 413


def test_only_this_machine_can_reach_it(served: Host) -> None:
    listening = [
        c.laddr.ip for c in process_of(served).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def process_of(served: Host) -> psutil.Process:
    """The server's own process, behind the supervisor."""
    (found,) = members(served._process)
    return found


def changed(original: Package, folder: Path, change: Callable[[Path], object]) -> Package:
    """The package, copied and changed."""
    copy = shutil.copytree(original.path, folder / "package")
    change(copy)
    return replace(original, path=copy)


@dataclass
class Held:
    """A server whose model begins to score by making `busy`, and ends when `go` is there."""

    host: Host
    busy: Path
    go: Path

    def begun(self) -> None:
        while not self.busy.exists():
            time.sleep(0.01)


_HOLD = """

def load(folder, _load=load, **options):
    import pathlib, time
    scorer = _load(folder, **options)
    handle = scorer.handle
    def held(*given):
        pathlib.Path({busy!r}).touch()
        while not pathlib.Path({go!r}).exists():
            time.sleep(0.01)
        return handle(*given)
    scorer.handle = held
    return scorer
"""


@pytest.fixture
def held(built_: Package, tmp_path: Path) -> Iterator[Held]:
    busy, go = tmp_path / "busy", tmp_path / "go"

    def hold(folder: Path) -> None:
        with (folder / "onnxferry" / "scoring" / "__init__.py").open("a") as file:
            file.write(_HOLD.format(busy=str(busy), go=str(go)))

    # its golden request would be held too
    runtime = replace(RUNTIME, environment=lambda *_: {"ONNXFERRY_SERVER_SKIP_GOLDEN": "1"})
    package_ = changed(built_, tmp_path, hold)
    with start(package_, runtime=runtime, around=OPEN, report=quiet) as up:
        yield Held(up, busy, go)
        go.touch()


def test_health_answers_while_every_thread_scores(held: Held) -> None:
    url = httpx.URL(held.host.url).copy_with(path="/ping")
    clients = 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(clients) as pool:
        answers = [pool.submit(held.host.send, GOLDEN.request) for _ in range(clients)]
        held.begun()
        assert httpx.get(url, trust_env=False).status_code == 200
        assert not any(answer.done() for answer in answers)
        held.go.touch()
        assert {answer.result().body for answer in answers} == {ANSWER}


def test_clients_that_leave_while_they_are_scored_break_nothing(held: Held) -> None:
    for gone in [connected(held.host, post(BODY)) for _ in range(8)]:
        held.begun()
        gone.close()
    held.go.touch()
    assert held.host.send(GOLDEN.request).body == ANSWER
    assert "Traceback" not in held.host.log_tail(1000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_answers_what_is_in_flight_first(held: Held, number: signal.Signals) -> None:
    process = process_of(held.host)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(held.host.send, GOLDEN.request)
        held.begun()
        process.send_signal(number)
        with pytest.raises(ConnectionRefusedError):
            while True:  # until it takes no more
                connected(held.host).close()
                time.sleep(0.01)
        held.go.touch()
        assert answer.result().body == ANSWER
    process.wait(30)
    assert "Traceback" not in held.host.log_tail(1000)


def test_a_second_signal_ends_it_at_once(held: Held) -> None:
    process = process_of(held.host)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(held.host.send, GOLDEN.request)
        held.begun()
        process.send_signal(signal.SIGTERM)
        while "requests in flight are answered first" not in held.host.log_tail():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        with pytest.raises(RehearsalError):
            answer.result()


def test_keys_are_read_anew_at_sighup(built_: Package, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("the-first-key-of-all")
    variables = {"ONNXFERRY_SERVER_KEYS_FILE": str(keys)}
    runtime = replace(RUNTIME, environment=lambda *_: variables)
    with start(built_, runtime=runtime, around=OPEN, report=quiet) as up:
        keys.write_text("the-second-key-of-all")
        process_of(up).send_signal(signal.SIGHUP)
        while "read anew" not in up.log_tail():
            time.sleep(0.01)
        found = {
            key: httpx.post(
                up.url, content=BODY, headers={"x-api-key": key}, trust_env=False
            ).status_code
            for key in ("the-first-key-of-all", "the-second-key-of-all")
        }
        assert not [line for line in up.log_tail().splitlines() if "-key-of-all" in line]
    assert found == {"the-first-key-of-all": 401, "the-second-key-of-all": 200}


def test_an_unusable_model_is_a_message(built_: Package, tmp_path: Path) -> None:
    broken = changed(
        built_, tmp_path, lambda folder: (folder / "model" / "model.onnx").write_text("not a graph")
    )
    with (
        pytest.raises(RehearsalError, match="ended with exit code 1 before it was ready") as raised,
        start(broken),
    ):
        pass
    assert "error: " in str(raised.value)
    assert "model.onnx: onnxruntime" in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_the_model_may_lie_elsewhere(built_: Package, tmp_path: Path) -> None:
    moved = changed(built_, tmp_path, lambda folder: (folder / "model").rename(tmp_path / "moved"))
    runtime = replace(RUNTIME, environment=lambda *_: {"MODEL_DIR": str(tmp_path / "moved")})
    with start(moved, runtime=runtime, report=quiet) as up:
        assert up.send(GOLDEN.request).body == ANSWER


def test_the_models_own_limit_is_the_servers(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model", limits=Limits(body_bytes=100))
    with start(
        package(model, "local", out=tmp_path, python=HERE, report=quiet), report=quiet
    ) as up:
        assert up.send(Request(BODY.ljust(100))).body == ANSWER
        assert (
            up.send(Request(BODY.ljust(101))).body
            == scoring.load(model).handle(Request(BODY.ljust(101))).body
        )
