"""Public hosts that an attacker has: their names change, they redirect inside, they send what is no
picture or never ends. Only the public host is ever connected to, and the error tells nothing of
what it sent."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
import trustme

from onnxferry.scoring.urls.location import MAX_LENGTH
from tests.scoring.test_image_classification import claiming, picture
from tests.scoring.urls.conftest import Watch
from tests.scoring.urls.serving import (
    HERE,
    Answer,
    Host,
    Resolver,
    Server,
    policy,
    redirect,
    response,
    serving,
)
from tests.scoring.urls.test_hostile_urls import ALL, FORBIDDEN

GREEN = picture((10, 200, 10))
SECRET = b"the-inside"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///the-inside"/></svg>'


def check_refused(host: Host, url: str, says: str = "") -> None:
    """That it is a clear error, which holds no path, query, address or byte of the answer."""
    status, told = host.ask(url)
    error = told["error"]
    assert (status, error["code"]) in {
        (400, "invalid_url"),
        (400, "invalid_image"),
        (403, "url_not_allowed"),
        (413, "too_large"),
        (424, "fetch_failed"),
    }, url
    assert says in error["message"], url
    for secret in ("s3cr3t", "the-inside", "127.", "169.254", "::1", "10.0.0", ".py", "Traceback"):
        assert secret not in error["message"], url


def test_a_name_that_changes_is_asked_once(host: Host, server: Server, watch: Watch) -> None:
    """Rebinding: the address that was checked is the one that is connected to."""
    server.answers["/a"] = response(GREEN)
    resolver = Resolver({"images.example.com": [[HERE], ["169.254.169.254"]]})
    assert host.allow(policy(server.port), resolver).ask(server.at("/a"))[0] == 200
    assert resolver.asked == ["images.example.com"]
    assert watch.connected == [(HERE, server.port)]


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.2", "::1", "fd00:ec2::254"])
def test_a_name_that_changes_is_checked_again_at_a_redirect(
    host: Host, server: Server, watch: Watch, address: str
) -> None:
    server.answers |= {"/a": redirect("/b"), "/b": response(GREEN)}
    host.allow(policy(server.port), Resolver({"images.example.com": [[HERE], [address]]}))
    check_refused(host, server.at("/a"), "the host's name has no public address")
    assert watch.connected == [(HERE, server.port)]


def test_redirects_go_nowhere_else(host: Host, server: Server, watch: Watch) -> None:
    """To each URL that is refused at first too, and to some that are only there relative."""
    relative = ["//127.0.0.1/a", "//[::1]/a", "///a", "\\\\127.0.0.1\\a", "/\\127.0.0.1", "?\t"]
    latin = [url for url in ALL if url.isascii() and not {*url} & {"\n", "\r"}]
    public = [url for url in latin if url in {"", "//images.example.com/a.png", "/a.png", "a.png"}]
    hostile = [url for url in latin if url not in public and url == url.strip()]
    host.allow(policy(server.port))
    for to in (*hostile, *relative):
        server.answers["/r"] = redirect(to)
        check_refused(host, server.at("/r?sig=s3cr3t"))
        assert {*watch.connected} <= {(HERE, server.port)}, to
    assert len(hostile) > 150


def test_a_redirect_to_a_name_with_a_forbidden_address(
    host: Host, server: Server, watch: Watch
) -> None:
    server.answers["/r"] = redirect(server.at("/a", "inside.example.com"))
    for address in FORBIDDEN.split()[::3]:
        if address != HERE:
            host.allow(policy(server.port), Resolver({"inside.example.com": [[address]]}))
            check_refused(host, server.at("/r"), "the host's name has no public address")
    assert {*watch.connected} == {(HERE, server.port)}


def test_redirects_in_a_circle_end(host: Host, server: Server) -> None:
    server.answers |= {"/a": redirect("/b"), "/b": redirect("/a")}
    check_refused(host.allow(policy(server.port)), server.at("/a"), "it redirects more than 3")
    server.answers["/c"] = redirect("/" + "c" * MAX_LENGTH)
    check_refused(host, server.at("/c"), "characters; at most")


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = response(Transfer_Encoding="chunked", Content_Length="")
    return head + sent + end


def png_chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def text_bomb() -> bytes:
    """A PNG with a text that is 50 MB when decompressed."""
    text = b"Comment\x00\x00" + zlib.compress(bytes(50_000_000), 9)
    return GREEN[:33] + png_chunk(b"zTXt", text) + GREEN[33:]


def tiff() -> bytes:
    """A TIFF whose directory points at itself."""
    return b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"


HUGE = "it has more bytes than are fetched for one request"
BROKEN = "the host's answer broke off, or is no HTTP"
NO_PICTURE = "bytes are not a picture in one of"
KIND = "its content type is none of image/jpeg"
MOST = 100_000
ANSWERS: dict[str, tuple[Answer, str]] = {
    "a length beyond": (response(Content_Length=str(10**30)), HUGE),
    "a length a byte beyond": (response(Content_Length=str(MOST + 1)), HUGE),
    "a body a byte beyond": (response(bytes(MOST + 1), Content_Length=""), HUGE),
    "chunks beyond": (chunked(*[bytes(50_000)] * 3), HUGE),
    "a chunk beyond": (chunked(end=b"ffffffffffffffff\r\n" + bytes(200_000)), HUGE),
    "a bomb in gzip": (
        response(gzip.compress(bytes(10**7)), Content_Encoding="gzip"),
        "compressed",
    ),
    "brotli": (response(b"x", Content_Encoding="br"), "compressed"),
    "two codings": (response(b"x", Content_Encoding="gzip, identity"), "compressed"),
    "gzip without a word": (response(gzip.compress(GREEN)), NO_PICTURE),
    "a text of 50 MB in a PNG": (response(text_bomb()), "truncated or damaged"),
    "many pixels": (response(claiming(30_000, 30_000)), "pixels"),
    "a circle in a TIFF": (response(tiff(), "image/tiff"), ""),
    "SVG": (response(SVG, "image/svg+xml"), KIND),
    "SVG that calls itself a PNG": (response(SVG), NO_PICTURE),
    "SVG behind a PNG's mark": (response(GREEN[:8] + SVG), ""),
    "HTML": (response(SECRET, "text/html"), KIND),
    "HTML that calls itself a JPEG": (response(b"<script>" + SECRET, "image/jpeg"), NO_PICTURE),
    "JSON": (response(b'{"key": "the-inside"}', "application/json"), KIND),
    "no type": (response(GREEN, ""), KIND),
    "any type": (response(GREEN, "image/*"), KIND),
    "two types": (response(GREEN, "image/svg+xml, image/png"), KIND),
    "a script behind a GIF's mark": (response(b"GIF89a/*" + SECRET + b"*/=1;", "image/gif"), ""),
    "PostScript": (response(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), NO_PICTURE),
    "PDF": (response(b"%PDF-1.7 the-inside", "image/jpeg"), NO_PICTURE),
    "a ZIP": (response(b"PK\x03\x04the-inside", "application/octet-stream"), NO_PICTURE),
    "an icon": (response(b"\x00\x00\x01\x00\x01\x00", "image/x-icon"), KIND),
    "nothing": (response(), ""),
    "half a picture": (response(GREEN, Content_Length=str(len(GREEN) + 1)), BROKEN),
    "half a chunk": (chunked(end=b"10\r\nabc"), BROKEN),
    "a chunk of no size": (chunked(end=b"xyz\r\nabc\r\n"), BROKEN),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6 the-inside\r\n", BROKEN),
    "no answer": (b"", BROKEN),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Ty", ""),
    "a head of 1000 lines": (response(GREEN, **{f"X-{i}": "a" for i in range(1000)}), BROKEN),
    "a line of 100 kB": (response(GREEN, X_A="a" * 100_000), BROKEN),
    "a page that is not there": (response(SECRET, status="404 the-inside"), "with status 404"),
    "a sign-in": (response(status="401 No", WWW_Authenticate="Basic"), "with status 401"),
    "a proxy's sign-in": (response(status="407 No", Proxy_Authenticate="Basic"), "status 407"),
    "a failure": (response(GREEN, status="500 the-inside"), "with status 500"),
    "a part": (response(GREEN, status="206 Partial"), "with status 206"),
    "no change": (response(status="304 Not Modified"), "with status 304"),
    "another protocol": (response(status="101 Switching Protocols", Upgrade="h2c"), ""),
    "a redirect to nowhere": (response(status="302 Found"), "with status 302"),
    "a status out of range": (response(status="99999 No"), BROKEN),
    "a Location beside a picture": (response(SVG, Location="https://127.0.0.1/a"), NO_PICTURE),
    "a Refresh": (response(status="300 Many", Refresh="0; url=https://127.0.0.1/"), "status 300"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_that_are_no_picture(
    host: Host, server: Server, watch: Watch, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, says = ANSWERS[kind]
    server.answers["/a"] = answer
    caplog.set_level("INFO", logger="scoring")
    check_refused(host.allow(policy(server.port, bytes=MOST)), server.at("/a?sig=s3cr3t"), says)
    assert {*watch.connected} == {(HERE, server.port)}
    assert caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("kind", ["dripping body", "endless chunks"])
def test_a_body_without_end_is_left_when_it_is_too_large(
    host: Host, server: Server, kind: str
) -> None:
    head = response(Content_Length="")
    data = bytes(50_000)
    if kind == "endless chunks":
        head, data = chunked(end=b""), b"%x\r\n%b\r\n" % (len(data), data)
    server.answers["/a"] = server.drip(data, head)
    check_refused(host.allow(policy(server.port, bytes=MOST)), server.at("/a"), HUGE)
    assert server.ended.wait(5)


def other_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("images.example.net", HERE)


def name_as_common_name(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("other.example.net", common_name="images.example.com")


def own_authority(authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("images.example.com")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    return authority.issue_cert("images.example.com", not_before=past, not_after=past)


@pytest.mark.parametrize("certificate", [other_name, name_as_common_name, own_authority, expired])
def test_a_host_that_does_not_prove_its_name_is_told_nothing(
    host: Host, authority: trustme.CA, certificate: Callable[[trustme.CA], trustme.LeafCert]
) -> None:
    with serving(certificate(authority)) as server:
        server.answers["/a"] = response(GREEN)
        host.allow(policy(server.port))
        check_refused(host, server.at("/a"), "the host has no valid certificate for its name")
        assert not server.heads


def test_a_host_without_tls_and_one_that_is_not_there_look_the_same(host: Host) -> None:
    with serving(None) as server:
        server.answers["/a"] = response(GREEN)
        check_refused(host.allow(policy(server.port)), server.at("/a"), "the host did not answer")
        assert not server.heads
    check_refused(host.allow(policy(server.port)), server.at("/a"), "the host did not answer")
