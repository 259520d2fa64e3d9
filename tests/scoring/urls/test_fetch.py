"""Pictures that are fetched: how the host is asked, which answers are taken, and what one request
may have fetched."""

from __future__ import annotations

import base64
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from onnxferry import scoring
from onnxferry.scoring import timing
from onnxferry.scoring.urls import resolution
from onnxferry.targets.local.forms.vertex import VertexForm
from tests import tiny
from tests.scoring.test_image_classification import picture
from tests.scoring.urls.conftest import Watch
from tests.scoring.urls.serving import (
    HERE,
    Host,
    Resolver,
    Server,
    policy,
    redirect,
    response,
    serving,
)

GREEN = picture((10, 200, 10))
RED = picture((200, 10, 10), "JPEG")


@pytest.mark.parametrize(
    ("body", "kind", "label"),
    [
        (GREEN, "image/png", "green"),
        (RED, "image/jpeg", "red"),
        (RED, "IMAGE/JPEG; charset=binary", "red"),
        (GREEN, "application/octet-stream", "green"),
        (GREEN, "binary/octet-stream", "green"),
        (GREEN, "image/jpeg", "green"),  # the bytes tell
        (GREEN + b"PK\x03\x04 and a ZIP", "image/png", "green"),  # the picture counts, no more
    ],
)
def test_a_picture_is_fetched_and_scored(
    host: Host, server: Server, body: bytes, kind: str, label: str
) -> None:
    server.answers["/cat"] = response(body, kind)
    status, told = host.allow(policy(server.port)).ask(server.at("/cat"))
    assert (status, told["prediction"], told["model"]) == (200, label, "tiny-image")


def test_the_host_is_asked_by_its_name_at_the_address_that_was_checked(
    host: Host, server: Server, watch: Watch
) -> None:
    server.answers["/cat.png"] = response(GREEN)
    host.allow(policy(server.port), resolver := Resolver())
    assert host.ask(server.at("/cat.png?width=3&token=a%20b"))[0] == 200
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


def test_a_name_and_a_path_in_any_script_are_written_in_ascii(host: Host, server: Server) -> None:
    server.answers["/b%C3%A4r/%2e%2e/a%20b"] = response(GREEN)
    host.allow(policy(server.port), resolver := Resolver())
    assert host.ask(server.at("/bär/%2e%2e/a%20b", "Bücher.Example.COM"))[0] == 200
    assert resolver.asked == ["xn--bcher-kva.example.com"]
    assert server.names == ["xn--bcher-kva.example.com"]


def test_the_fragment_stays_here(host: Host, server: Server) -> None:
    server.answers["/a"] = response(GREEN)
    assert host.allow(policy(server.port)).ask(server.at("/a#@127.0.0.1/b"))[0] == 200
    assert server.heads[0].startswith(b"GET /a HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 For"]
)
def test_redirects_are_followed(host: Host, server: Server, watch: Watch, status: str) -> None:
    server.answers |= {
        "/a/1": redirect("../b/2?x=1", status),
        "/b/2": redirect(server.at("/3", "www.example.org"), status),
        "/3": response(GREEN, Set_Cookie="a=b"),
    }
    host.allow(policy(server.port), resolver := Resolver())
    assert host.ask(server.at("/a/1"))[1]["prediction"] == "green"
    assert resolver.asked == ["images.example.com", "images.example.com", "www.example.org"]
    assert server.names == resolver.asked
    assert watch.connected == [(HERE, server.port)] * 3
    assert not any(b"ookie" in head or b"uthorization" in head for head in server.heads)


def test_so_many_redirects_and_no_more(host: Host, server: Server) -> None:
    server.answers |= {"/0": redirect("/1"), "/1": redirect("/2"), "/2": response(GREEN)}
    assert host.allow(policy(server.port, redirects=2)).ask(server.at("/0"))[0] == 200
    status, told = host.allow(policy(server.port, redirects=1)).ask(server.at("/0"))
    assert (status, told["error"]["code"]) == (424, "fetch_failed")
    assert "it redirects more than 1 times" in told["error"]["message"]


def test_an_address_that_does_not_answer_gives_way_to_the_next(
    host: Host, server: Server, watch: Watch
) -> None:
    """Both are this machine's; nothing listens at the other family's."""
    server.answers["/a"] = response(GREEN)
    network = replace(host.network(Resolver({"images.example.com": [["::1", HERE]]})), check=bool)
    host.allow(policy(server.port), network)
    assert host.ask(server.at("/a"))[0] == 200
    assert watch.connected[-1] == (HERE, server.port)


def test_nothing_of_the_environment_is_used(
    host: Host, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine images.example.com login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/a"] = response(GREEN)
    assert host.allow(policy(server.port)).ask(server.at("/a"))[0] == 200
    assert b"uthorization" not in server.heads[0]


def test_plain_http_is_for_a_policy_that_says_so(host: Host, server: Server) -> None:
    with serving(None) as plain:
        plain.answers["/a"] = response(GREEN)
        server.answers["/to"] = redirect(url := f"http://images.example.com:{plain.port}/a")
        both = {"hosts": (*policy(plain.port).hosts, *policy(server.port).hosts)}
        for allowed, status in ((True, 200), (False, 400)):
            host.allow(policy(plain.port, http=allowed, **both))
            assert host.ask(url)[0] == status
            assert host.ask(server.at("/to"))[0] == status


def test_a_list_may_name_and_hold_pictures(host: Host, server: Server) -> None:
    server.answers |= {"/a": response(GREEN), "/b": response(RED, "image/jpeg")}
    text = base64.b64encode(RED).decode()
    names = [
        server.at("/a"),
        text,
        server.at("/b"),
        f"data:image/jpeg;base64,{text}",
        server.at("/a"),
    ]
    status, told = host.allow(policy(server.port)).score(names)
    assert status == 200
    assert [labels[0]["label"] for labels in told] == ["green", "red", "red", "red", "green"]
    assert len(server.heads) == 2  # a URL is fetched once


def test_one_request_has_so_many_pictures_and_bytes(host: Host, server: Server) -> None:
    names = [f"/{i}" for i in range(5)]
    server.answers |= dict.fromkeys(names, response(GREEN))
    urls = [server.at(name) for name in names]
    status, told = host.allow(policy(server.port, pictures=4)).score(urls)
    assert (status, told["error"]["code"]) == (413, "too_large")
    assert "5 pictures are named by URL; one request gets at most 4" in told["error"]["message"]
    assert not server.heads
    status, told = host.allow(policy(server.port, bytes=2 * len(GREEN))).score(urls)
    assert (status, told["error"]["code"]) == (413, "too_large")
    assert told["error"]["message"].startswith("'inputs[2]': the picture at images.example.com")
    assert len(server.heads) == 3


def test_a_protocol_that_tries_again_fetches_nothing_again(host: Host, server: Server) -> None:
    """Vertex AI's form halves what is refused together, until one stands alone."""
    server.answers |= {f"/{i}": response(GREEN) for i in range(4)}
    instances = [server.at(f"/{i}") for i in range(5)]  # the last is not there
    status, told = host.allow(policy(server.port)).score({"instances": instances}, VertexForm())
    assert status == 424
    assert "'instances[4]'" in told["error"]
    assert len(server.heads) == 5


def test_the_fetch_is_a_stage_of_its_own(host: Host, server: Server) -> None:
    server.answers["/a"] = response(GREEN)
    host.allow(policy(server.port))
    body = json.dumps({"inputs": server.at("/a")}).encode()
    told = host.scorer.handle(scoring.Request(body)).headers["Server-Timing"]
    assert [part.partition(";")[0] for part in told.split(", ")] == [*timing.STAGES, "fetch"]
    body = json.dumps({"inputs": base64.b64encode(GREEN).decode()}).encode()
    assert "fetch" not in host.scorer.handle(scoring.Request(body)).headers["Server-Timing"]


def test_a_host_without_the_library_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.image_classification(tmp_path)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    assert scoring.load(folder, {})
    with pytest.raises(
        scoring.ScoringError, match="this host has no urllib3; pip install 'urllib3"
    ):
        scoring.load(folder, {"ONNXFERRY_URLS_ALLOW": "1"})


def test_a_host_with_an_old_library_says_so(
    host: Host, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("urllib3.BaseHTTPResponse")
    status, told = host.allow(policy(server.port)).ask(server.at("/a"))
    assert (status, told["error"]["code"]) == (500, "internal")
    assert "need urllib3>=2.2, and this host has an older one" in told["error"]["message"]


def test_a_fetch_holds_no_run_of_the_model(
    authority: trustme.CA, server: Server, tmp_path: Path
) -> None:
    """A host with one run at a time answers another request while a name is looked up."""
    folder = tiny.image_classification(tmp_path)
    scorer = scoring.load(folder, {"ONNXFERRY_ENGINE_PARALLEL_RUNS": "1"})
    others: list[int] = []

    def resolver(name: str, port: int) -> list[str]:
        others.append(scorer.handle(scoring.Request(RED, "image/jpeg")).status)
        return [HERE]

    server.answers["/a"] = response(GREEN)
    host = Host(scorer, scorer.task, authority).allow(policy(server.port), resolver)
    assert host.ask(server.at("/a"))[0] == 200
    assert others == [200]


def test_the_systems_names_are_whole_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in a cluster searches its own domains for what has no final dot."""
    asked: list[str] = []

    def getaddrinfo(name: str, port: int, **how: object) -> list[Any]:
        asked.append(name)
        return [(0, 0, 0, "", ("8.8.8.8", port)), (0, 0, 0, "", ("2606:4700::1", port, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolution.system("images.example.com", 443) == ["8.8.8.8", "2606:4700::1"]
    assert asked == ["images.example.com."]
