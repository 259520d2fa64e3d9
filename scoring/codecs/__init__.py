"""Media types as tables: how a request's body becomes a payload (DECODERS), and how an answer
becomes bytes (ENCODERS). Each media type's code is in the file that bears its name.

A payload is what the body's JSON would hold: mostly {"inputs": ..., "parameters": {...}}, with an
`Image` where an image's bytes came and a numpy array where an array came. Each form gives the same
payload for the same request:

media type                            "inputs" of the payload
application/json                      (the payload is the body's data as it is)
application/jsonlines, -x-ndjson      a list, one item a line: a text, an object, {"inputs": item}
text/csv                              a list, one item a row: a text, or an object of its cells
text/plain                            one text: the body
multipart/form-data                   images uploaded as files, or the fields of a form
application/x-npy                     one array
image/*, application/octet-stream     one image: the payload is the Image

Answers are JSON; JSON Lines, CSV and npy where the answer has that form.
"""

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
    "compress",
    "decode",
    "decompress",
    "encode",
    "encode_json",
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
    """`accepted`, where JSON stands for every form of the same fields."""
    if JSON not in accepted:
        return accepted
    return (*STRUCTURED, *(name for name in accepted if name not in STRUCTURED))


def decode(body: bytes, content_type: str, accepted: Sequence[str]) -> Any:
    """The payload of `body`, if its media type is among `accepted`. Raises nothing but
    ScoringError."""
    media_type, known = MediaType.parse(content_type), expand(tuple(accepted))
    if media_type.name not in known:
        raise UnsupportedMediaType(
            f"content type '{media_type.name[:80]}' is not accepted; send {' or '.join(known)}"
        )
    return DECODERS[media_type.name](body, media_type)


@functools.lru_cache(256)  # clients send the same few
def negotiate(accept: str) -> tuple[str, ...]:
    """The media types of an answer that `accept` allows, the preferred first. Raises
    NotAcceptable."""
    if found := preferred(accept, tuple(ENCODERS)):
        return found
    raise NotAcceptable(
        f"no answer can be given as '{accept[:80]}'; this model answers in {', '.join(ENCODERS)}"
    )


def encode(answer: Any, media_types: Sequence[str]) -> tuple[bytes, str]:
    """`answer` in the first of `media_types` that can hold it, and which that is. Raises
    NotAcceptable with the first's reason if none can."""
    refusals = []
    for media_type in media_types:
        try:
            return ENCODERS[media_type](answer), media_type
        except NotAcceptable as e:  # noqa: PERF203
            refusals.append(e)
    raise refusals[0]
