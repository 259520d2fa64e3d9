"""Media types as tables: how a body becomes a payload, and how an answer becomes bytes.

A payload is JSON data, or `Image` for the bytes of a picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scoring.contract import JSON
from scoring.errors import InternalError, InvalidBody, NotAcceptable, UnsupportedMediaType


@dataclass(frozen=True)
class Image:
    """The encoded bytes of one picture."""

    data: bytes


def decode_json(body: bytes) -> Any:
    """JSON data. Raises InvalidBody that says where the text stops being JSON."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except json.JSONDecodeError as e:
        got = "an empty body" if not body.strip() else f"{e.msg} at line {e.lineno} column {e.colno}"
        raise InvalidBody(f"the body is not JSON: {got}") from e
    except UnicodeDecodeError as e:
        raise InvalidBody(f"the body is not JSON: not UTF-8 text at byte {e.start}") from e
    except (RecursionError, ValueError) as e:
        raise InvalidBody("the body is not JSON that can be read: nested too deeply, or a number out of range") from e


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a JSON number", name, 0)


def encode_json(answer: Any) -> bytes:
    """UTF-8 JSON; half of a surrogate pair, which a header may hold, becomes its JSON escape.

    Raises InternalError if the model gave a number that JSON cannot hold (NaN, infinity).
    """
    try:
        return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    except ValueError as e:
        raise InternalError("the model's answer holds NaN or infinity, which JSON cannot carry") from e


IMAGES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "application/octet-stream")
DECODERS: dict[str, Callable[[bytes], Any]] = {JSON: decode_json, **dict.fromkeys(IMAGES, Image)}
ENCODERS: dict[str, Callable[[Any], bytes]] = {JSON: encode_json}


def decode(body: bytes, content_type: str, accepted: tuple[str, ...]) -> Any:
    """The payload of `body`, if its media type is among `accepted`."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in accepted:
        raise UnsupportedMediaType(f"content type '{media_type[:80]}' is not accepted; send {' or '.join(accepted)}")
    return DECODERS[media_type](body)


def negotiate(accept: str) -> str:
    """The media type to answer in: the first of `accept` that there is an encoder for."""
    for entry in accept.split(","):
        wanted = entry.partition(";")[0].strip().lower()
        for media_type in ENCODERS:
            if wanted in ("", "*/*", media_type, media_type.partition("/")[0] + "/*"):
                return media_type
    raise NotAcceptable(f"no answer can be given as '{accept[:80]}'; this model answers in {', '.join(ENCODERS)}")
