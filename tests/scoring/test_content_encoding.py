"""gzip and deflate in, gzip out; a small body that grows is stopped while it grows."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.scoring.codecs.content_encoding import compress, decompress
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.limits import Limits
from tests import tiny


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    " x-gzip ": gzip.compress,
    "deflate": zlib.compress,
}


@given(st.sampled_from(sorted(WAYS)), st.binary())
def test_what_was_compressed_comes_back(coding: str, data: bytes) -> None:
    assert decompress(WAYS[coding](data), coding, 10_000) == data


@given(st.binary())
def test_deflate_comes_back_without_zlibs_header(data: bytes) -> None:
    assert decompress(raw_deflate(data), "deflate", 10_000) == data


def test_gzip_may_have_members() -> None:
    assert decompress(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10) == b"ab"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(coding: str) -> None:
    bomb = WAYS[coding](bytes(50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(
        ScoringError, match=r"larger when decompressed.*100000 \(limits.body_bytes\)"
    ) as caught:
        decompress(bomb, coding, 100_000)
    assert caught.value.status == 413


def test_exactly_the_limit_is_taken() -> None:
    assert len(decompress(gzip.compress(bytes(1000)), "gzip", 1000)) == 1000
    with pytest.raises(ScoringError, match="larger"):
        decompress(gzip.compress(bytes(1001)), "gzip", 1000)


@pytest.mark.parametrize(
    ("body", "coding", "code", "names"),
    [
        (b"hello", "gzip", "invalid_body", "not gzip data"),
        (b"", "gzip", "invalid_body", "ends within its gzip data"),
        (
            gzip.compress(b"hello", mtime=0)[:-3],
            "gzip",
            "invalid_body",
            "ends within its gzip data",
        ),
        (gzip.compress(b"hello", mtime=0) + b"xyz", "gzip", "invalid_body", "not gzip data"),
        (gzip.compress(b"", mtime=0) * 101, "gzip", "invalid_body", "more than 100 members"),
        (
            b"x",
            "br",
            "unsupported_encoding",
            "content encoding 'br' is not known; send gzip, deflate or none",
        ),
        (b"x", "gzip, gzip", "unsupported_encoding", "'gzip, gzip'"),
    ],
)
def test_what_cannot_be_decompressed_is_refused(
    body: bytes, coding: str, code: str, names: str
) -> None:
    with pytest.raises(ScoringError) as caught:
        decompress(body, coding, 1000)
    assert caught.value.code == code
    assert names in str(caught.value)


@given(st.binary(), st.sampled_from(["gzip", "deflate"]))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes, coding: str) -> None:
    try:
        decompress(body, coding, 100)
    except ScoringError as e:
        assert e.code in ("invalid_body", "too_large")


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("GZip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("br", False),
    ],
)
def test_an_answer_is_compressed_where_the_client_takes_it(accept: str, compressed: bool) -> None:
    body = b"the same bytes " * 100
    sent, coding = compress(body, accept)
    assert coding == ("gzip" if compressed else "")
    assert (gzip.decompress(sent) if compressed else sent) == body
    assert sent == compress(body, accept)[0]


def test_a_short_answer_is_left_as_it_is() -> None:
    assert compress(b"x" * 100, "gzip") == (b"x" * 100, "")


def test_a_request_and_its_answer_may_both_be_compressed(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.text_classification(tmp_path, limits=Limits(body_bytes=2000)))
    body = json.dumps({"inputs": ["good"] * 100}).encode()
    plain = scorer.handle(scoring.Request(body))
    both = scorer.handle(
        scoring.Request(gzip.compress(body), content_encoding="gzip", accept_encoding="gzip")
    )
    assert both.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(both.body) == plain.body
    large = scorer.handle(scoring.Request(gzip.compress(body * 3), content_encoding="gzip"))
    assert (large.status, json.loads(large.body)["error"]["code"]) == (413, "too_large")
