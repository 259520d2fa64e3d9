"""Pictures that are fetched: how the host is asked, and which answers are taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from onnxferry import scoring
from onnxferry.scoring.classify import ClassifyForm
from onnxferry.scoring.urls.fetcher import Fetcher
from onnxferry.scoring.urls.task import Fetching
from tests import tiny
from tests.scoring.test_image_classification import picture
from tests.scoring.urls import serving
from tests.scoring.urls.conftest import Watch
from tests.scoring.urls.serving import HERE, Resolver, Server, response

GREEN = picture((10, 200, 10))
RED = picture((200, 10, 10), "JPEG")


class Host:
    """A scorer of a tiny model that fetches from the server of the test."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.scorer = scoring.load(folder, {})
        self.task, self.authority = self.scorer.task, authority

    def ask(self, server: Server, inputs: Any, resolver: Any = None, **limits: Any) -> Any:
        """Status and JSON of the answer to {"inputs": ...} or to a whole Request."""
        network = serving.network(self.authority, resolver or Resolver())
        fetcher = Fetcher(serving.policy(server.port, **limits), network)
        self.scorer.task = Fetching(self.task, fetcher)
        if isinstance(inputs, scoring.Request):
            answer = self.scorer.handle(inputs, ClassifyForm())
        else:
            answer = self.scorer.handle(scoring.Request(json.dumps({"inputs": inputs}).encode()))
        return answer.status, json.loads(answer.body)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Host:
    return Host(tiny.image_classification(tmp_path_factory.mktemp("image")), authority)


def at(server: Server, path: str, host: str = "images.example.com") -> str:
    return f"https://{host}:{server.port}{path}"


@pytest.mark.parametrize(
    ("body", "kind", "label"),
    [
        (GREEN, "image/png", "green"),
        (RED, "image/jpeg", "red"),
        (RED, "IMAGE/JPEG; charset=binary", "red"),
        (GREEN, "application/octet-stream", "green"),
        (GREEN, "binary/octet-stream", "green"),
        (GREEN, "image/jpeg", "green"),  # the bytes tell
    ],
)
def test_a_picture_is_fetched_and_scored(
    host: Host, server: Server, body: bytes, kind: str, label: str
) -> None:
    server.answers["/cat.png"] = response(body, kind)
    status, told = host.ask(server, at(server, "/cat.png"))
    assert (status, told[0]["label"]) == (200, label)


def test_the_host_is_asked_by_its_name_at_the_address_that_was_checked(
    host: Host, server: Server, watch: Watch
) -> None:
    server.answers["/cat.png"] = response(GREEN)
    resolver = Resolver()
    assert host.ask(server, at(server, "/cat.png?width=3&token=a%20b"), resolver)[0] == 200
    assert watch.connected == [(HERE, server.port)]
    assert resolver.asked == ["images.example.com"]
    assert set(watch.looked_up) == {HERE}  # an address, which no server of names is asked for
    assert server.names == ["images.example.com"]
    (head,) = server.heads
    assert head.decode().splitlines() == [
        "GET /cat.png?width=3&token=a%20b HTTP/1.1",
        f"Host: images.example.com:{server.port}",
        "User-Agent: onnxferry",
        "Accept: image/*",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
    ]
