"""Media types as tables: how a body becomes a payload (DECODERS), and an answer bytes (ENCODERS). A
payload is what the body's JSON would hold, mostly {"inputs": ..., "parameters": {...}}, with an
`Image` for an image's bytes and a numpy array for npy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from onnxferry.scoring.codecs.content_encoding import compress, decompress
from onnxferry.scoring.codecs.csv_codec import decode_csv, encode_csv
from onnxferry.scoring.codecs.headers import MediaType, preferred
from onnxferry.scoring.codecs.json_codec import (
    decode_json,
    decode_jsonlines,
    encode_json,
    encode_jsonlines,
)
from onnxferry.scoring.codecs.media_types import (
    CSV,
    IMAGES,
    JSONLINES,
    MULTIPART,
    NPY,
    STRUCTURED,
    TEXT,
    Image,
    ImageUrl,
)
from onnxferry.scoring.codecs.multipart_codec import decode_multipart
from onnxferry.scoring.codecs.npy_codec import decode_npy, encode_npy
from onnxferry.scoring.errors import NotAcceptable, UnsupportedMediaType
from onnxferry.scoring.wire import JSON

__all__ = [
    "CSV",
    "DECODERS",
    "ENCODERS",
    "IMAGES",
    "JSON",
    "JSONLINES",
    "MULTIPART",
    "NPY",
    "TEXT",
    "Image",
    "ImageUrl",
    "compress",
    "decode",
    "decompress",
    "encode",
    "encode_json",
    "expand",
    "negotiate",
]

DECODERS: dict[str, Callable[[bytes, MediaType], Any]] = {
    JSON: decode_json,
    **dict.fromkeys(JSONLINES, decode_jsonlines),
    CSV: decode_csv,
    TEXT: lambda body, media_type: {"inputs": media_type.text(body)},
    MULTIPART: decode_multipart,
    NPY: decode_npy,
    **dict.fromkeys(IMAGES, lambda body, media_type: Image(body)),
}
ENCODERS: dict[str, Callable[[Any], bytes]] = {
    JSON: encode_json,
    **dict.fromkeys(JSONLINES, encode_jsonlines),
    CSV: encode_csv,
    NPY: encode_npy,
}


@functools.lru_cache(64)
def expand(accepted: tuple[str, ...]) -> tuple[str, ...]:
    """`accepted`, in which JSON stands for STRUCTURED."""
    if JSON not in accepted:
        return accepted
    return (*STRUCTURED, *(name for name in accepted if name not in STRUCTURED))


def decode(body: bytes, content_type: str, accepted: Sequence[str]) -> Any:
    """The payload of `body`, if its media type is among `accepted`. Raises ScoringError only."""
    media_type = MediaType.parse(content_type)
    check_accepted(media_type, accepted)
    return DECODERS[media_type.name](body, media_type)


def check_accepted(media_type: MediaType, accepted: Sequence[str]) -> None:
    """Raise UnsupportedMediaType for one that is not among `accepted`."""
    if media_type.name not in (known := expand(tuple(accepted))):
        sent, expected = media_type.name[:80], " or ".join(known)
        raise UnsupportedMediaType(f"content type '{sent}' is not accepted; send {expected}")


@functools.lru_cache(256)  # clients send the same few
def negotiate(accept: str) -> tuple[str, ...]:
    """The media types that `accept` allows, the preferred first. Raises NotAcceptable."""
    if found := preferred(accept, tuple(ENCODERS)):
        return found
    known = f"this model answers in {', '.join(ENCODERS)}"
    raise NotAcceptable(f"no answer can be given as '{accept[:80]}'; {known}")


def encode(answer: Any, media_types: Sequence[str]) -> tuple[bytes, str]:
    """`answer` in the first of `media_types` that can hold it, and that type. Raises NotAcceptable
    with the first's reason."""
    refusals = []
    for media_type in media_types:
        try:
            return ENCODERS[media_type](answer), media_type
        except NotAcceptable as e:  # noqa: PERF203
            refusals.append(e)
    raise refusals[0]
