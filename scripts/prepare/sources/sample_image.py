"""Test pictures, the same bytes on every machine."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

BODIES: Mapping[str, Mapping[str, Any]] = {  # parameters, by the tasks that are asked with SIZES
    "object-detection": {"threshold": 0.0},  # a real detector finds nothing in such pictures
    "image-feature-extraction": {},
}
SIZES = ((64, 64), (90, 40), (48, 130))  # width, height


def sample_bodies(task: str) -> list[bytes]:
    """JSON requests with a picture of each of SIZES; none for a task that is not in BODIES."""
    found = []
    for size in SIZES if task in BODIES else ():
        body = {"inputs": b64encode(sample_image(*size)).decode(), "parameters": BODIES[task]}
        found.append(json.dumps(body).encode())
    return found


def sample_image(width: int = 64, height: int = 64) -> bytes:
    """A PNG of width x height RGB pixels: red grows to the right, green downwards, blue in stripes.
    Not compressed: zlib's versions differ in that."""
    rows = [
        b"\0" + bytes(v for x in range(width) for v in _pixel(x / width, y / height))
        for y in range(height)
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _pixel(x: float, y: float) -> tuple[int, int, int]:
    return int(255 * x), int(255 * y), 255 * (int(16 * (x + y)) % 2)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
