"""The servers, and the watch over what this process connects to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from tests import tiny
from tests.scoring.urls.serving import Host, Server, serving

_connected: list[Any] = []
_looked_up: list[Any] = []
_watches: list[bool] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Once added it stays: it is silent where no test watches."""
    if _watches and event == "socket.connect":
        _connected.append(arguments[1])
    elif _watches and event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _looked_up.append(arguments[0])


sys.addaudithook(_audit)


class Watch:
    """The addresses that were connected to, (host, port, ...), and the names that the system was
    asked for, of this process since the test began."""

    connected = _connected
    looked_up = _looked_up


@pytest.fixture
def watch() -> Iterator[Watch]:
    _connected.clear()
    _looked_up.clear()
    _watches.append(True)
    yield Watch()
    _watches.pop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def _server(authority: trustme.CA) -> Iterator[Server]:
    with serving(authority.issue_cert("*.example.com", "*.example.org")) as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    _server.answers.clear()
    _server.heads.clear()
    _server.names.clear()
    _server.ended.clear()
    return _server


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Host:
    return Host.of(tiny.image_classification(tmp_path_factory.mktemp("image")), authority)
