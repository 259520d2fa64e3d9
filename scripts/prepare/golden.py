"""The golden request: what a deployment is asked before it takes traffic."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import scoring
from scoring import Request, ScoringError
from scoring.contract import Golden
from scripts.errors import PrepareError
from scripts.prepare.samples import read_request

_BUILT_IN: dict[str, Any] = {
    "question-answering": {
        "question": "What is Dolly Parton's middle name?",
        "context": "Dolly Rebecca Parton is an American singer-songwriter",
    },
    "text-classification": "Thank you so much, this made my day!",
    "feature-extraction": "Good morning",
}


def request(task: str, own: Path | None) -> Request:
    """The user's golden request, else the built-in one of `task`."""
    if own:
        return read_request(own)
    if task == "image-classification":
        return Request(gradient(), "image/png")
    return Request(json.dumps({"inputs": _BUILT_IN[task]}).encode())


def answer(model_dir: Path, golden: Request) -> Golden:
    """`golden` with the answer of the model directory itself; raises PrepareError when that is not an answer."""
    try:
        response = scoring.load(model_dir).handle(golden)
    except ScoringError as e:
        raise PrepareError(f"the model directory cannot be served: {e}") from e
    if response.status != 200:
        raise PrepareError(f"the golden request got status {response.status}: {response.body.decode()}")
    return Golden(golden, json.loads(response.body))


def gradient(side: int = 64) -> bytes:
    """A PNG of side x side RGB pixels whose colours change from corner to corner: real enough to be preprocessed."""
    rows = [b"\0" + bytes(v for x in range(side) for v in _pixel(x, y, side)) for y in range(side)]
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _pixel(x: int, y: int, side: int) -> tuple[int, int, int]:
    return 255 * x // (side - 1), 255 * y // (side - 1), 255 * (x + y) // (2 * side - 2)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
