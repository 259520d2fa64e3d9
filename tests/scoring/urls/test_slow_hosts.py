"""Hosts that take their time, in each phase of a fetch: the request ends when the policy says, and
what was connected is cut. A host here goes on for 10 s, and the policy allows a part of one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from onnxferry.scoring.urls import fetcher
from onnxferry.scoring.urls.connection import THREAD
from tests.scoring.test_image_classification import picture
from tests.scoring.urls.conftest import Watch
from tests.scoring.urls.serving import HERE, Host, Server, policy, redirect, response

GREEN = picture((10, 200, 10))
SECONDS = 0.2
LATE = "'img': the picture was not fetched within 0.2 s"
HEAD = b"HTTP/1.1 200 OK\r\n"


def check_late(host: Host, url: str) -> None:
    status, told = host.ask(url)
    assert (status, told["error"]) == (424, {"code": "fetch_failed", "message": LATE})


def end_threads() -> None:
    """Wait for those that were left behind."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(10)


class SlowResolver:
    """Answers when it is let, or after 10 s."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.done = threading.Event()

    def __call__(self, name: str, port: int) -> Sequence[str]:
        self.let.wait(10)
        self.done.set()
        return [HERE]


def test_a_slow_server_of_names(host: Host, server: Server, watch: Watch) -> None:
    resolver = SlowResolver()
    check_late(host.allow(policy(server.port, seconds=SECONDS), resolver), server.at("/a"))
    resolver.let.set()
    assert resolver.done.wait(5)
    end_threads()
    assert watch.connected == []  # also when the answer comes at last


@contextlib.contextmanager
def full() -> Iterator[int]:
    """The port of a listener whose queue is full: further connections wait."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HERE, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_host_that_takes_no_connection(host: Host) -> None:
    with full() as port:
        url = f"https://images.example.com:{port}/a"
        check_late(host.allow(policy(port, seconds=SECONDS)), url)


def test_a_host_that_is_silent_at_tls(host: Host) -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
        url = f"https://images.example.com:{port}/a"
        check_late(host.allow(policy(port, seconds=SECONDS)), url)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", b""),
        (b"H", b""),
        (b"a", HEAD + b"X-Slow: "),
        (b"X-Slow: a\r\n", HEAD),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
        (b"a", response(Content_Length="100000")),
        (b"1\r\na\r\n", response(Content_Length="", Transfer_Encoding="chunked")),
        (b"a", response(Content_Length="", Transfer_Encoding="chunked") + b"1;"),
        (b"X: a\r\n", response(Content_Length="", Transfer_Encoding="chunked") + b"0\r\n"),
    ],
    ids=[
        "nothing",
        "no HTTP",
        "one header",
        "many headers",
        "continue",
        "body",
        "chunks",
        "one chunk's head",
        "trailers",
    ],
)
def test_a_host_that_drips(host: Host, server: Server, data: bytes, whole: bytes) -> None:
    server.answers["/a"] = server.drip(data, whole)
    check_late(host.allow(policy(server.port, seconds=SECONDS)), server.at("/a"))
    if data:
        assert server.ended.wait(5)  # it was cut


def test_a_redirect_has_no_time_of_its_own(host: Host, server: Server) -> None:
    server.answers |= {"/a": response(GREEN), "/r": redirect("/slow")}
    server.answers["/slow"] = server.drip(b"a", response(Content_Length="100000"))
    host.allow(policy(server.port, seconds=SECONDS))
    status, told = host.score([server.at("/r"), server.at("/a")])
    assert status == 424
    assert told["error"]["message"] == LATE.replace("img", "inputs[0]")


def test_what_hangs_does_not_add_up(
    host: Host, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_threads()
    monkeypatch.setattr(fetcher, "LATE", 2)
    server.answers["/a"] = response(GREEN)
    resolver = SlowResolver()
    host.allow(policy(server.port, seconds=0.05), resolver)
    for _ in range(2):
        assert "within 0.05 s" in host.ask(server.at("/a"))[1]["error"]["message"]
    status, told = host.ask(server.at("/a"))
    assert (status, told["error"]["code"]) == (424, "fetch_failed")
    assert "pictures by URL hang here" in told["error"]["message"]
    resolver.let.set()
    end_threads()
    host.scorer.task._fetcher._policy = policy(server.port)  # type: ignore[attr-defined]
    assert host.ask(server.at("/a"))[0] == 200
