"""Content codings: gzip and deflate in, gzip out (RFC 9110, section 8.4)."""

from __future__ import annotations

import zlib

from onnxferry.scoring.codecs.headers import weights
from onnxferry.scoring.errors import InvalidBody, UnsupportedEncoding
from onnxferry.scoring.limits import exceeded

MIN_SIZE = 1024  # bytes of an answer below which gzip gains nothing
MAX_MEMBERS = 100  # of one gzip body: each costs a copy of what follows it
_LEVEL = 1  # a third of the time of zlib's usual 6, and answers an eighth longer
_GZIP = 31  # zlib's window size for a gzip header and trailer
NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """`body` without its Content-Encoding, one of NAMES or identity. Raises UnsupportedEncoding,
    InvalidBody, or TooLarge at once beyond `limit` bytes."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in NAMES:
        known = "send gzip, deflate or none"
        raise UnsupportedEncoding(f"content encoding '{name[:80]}' is not known; {known}")
    out, rest = bytearray(), body
    for _ in range(MAX_MEMBERS):
        stream = zlib.decompressobj(_window(NAMES[name], rest))
        try:
            out += stream.decompress(rest, limit + 1 - len(out))
        except zlib.error as e:
            raise InvalidBody(f"the body is not {NAMES[name]} data, or damaged") from e
        if len(out) > limit:
            raise exceeded("the body is larger when decompressed", limit, "body_bytes")
        if not stream.eof:
            raise InvalidBody(f"the body ends within its {NAMES[name]} data")
        if not (rest := stream.unused_data):
            return bytes(out)
    raise InvalidBody(f"the body is {NAMES[name]} data of more than {MAX_MEMBERS} members")


def _window(name: str, data: bytes) -> int:
    """deflate means zlib's format; some clients leave out its header of two bytes."""
    if name == "gzip":
        return _GZIP
    header = int.from_bytes(data[:2], "big")
    valid = len(data) > 1 and data[0] & 15 == zlib.DEFLATED and header % 31 == 0
    return zlib.MAX_WBITS if valid else -zlib.MAX_WBITS


def compress(body: bytes, accept_encoding: str) -> tuple[bytes, str]:
    """`body` in gzip, without a time in its header, and "gzip" where the client takes it and `body`
    is not small; else `body` and ""."""
    if len(body) < MIN_SIZE:
        return body, ""
    accepted = dict(weights(accept_encoding))
    if not accepted.get("gzip", accepted.get("x-gzip", accepted.get("*", 0.0))):
        return body, ""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return stream.compress(body) + stream.flush(), "gzip"
