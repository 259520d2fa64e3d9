"""The requests that every runtime is asked, whose answers tests/test_parity.py compares."""

from __future__ import annotations

import gzip
import io
import json
import zlib

import numpy as np
from PIL import Image

from onnxferry.scoring.wire import Request
from tests import tiny


def picture(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, kind)
    return out.getvalue()


def body(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each the rest of its Content-Disposition, and its content."""
    head = b"--xyz\r\nContent-Disposition: form-data; "
    return (
        b"".join(head + rest.encode() + b"\r\n\r\n" + content + b"\r\n" for rest, content in parts)
        + b"--xyz--\r\n"
    )


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array))
    return out.getvalue()


FORM = "multipart/form-data; boundary=xyz"
LINES = (
    body({"question": "When", "context": "it was in 1946"})
    + b"\n"
    + body({"inputs": tiny.QUESTION})
)
ROWS = 'question,context\r\nWhen,"it was, in 1946"\r\nWho,the naïve Rebecca\r\n'
ONE, GOOD = body({"inputs": tiny.QUESTION}), body({"inputs": [tiny.QUESTION] * 4})
JSON_UTF8 = "application/json; charset=utf-8"


TEXT = {
    "one question": Request(body({"inputs": tiny.QUESTION})),
    "the tutorial's shorthand": Request(body(tiny.QUESTION)),
    "a list": Request(
        body({"inputs": [tiny.QUESTION, {"question": "When", "context": "😀 it was in 1946"}]})
    ),
    "parameters": Request(
        body({"inputs": tiny.QUESTION, "parameters": {"top_k": 3, "max_answer_len": 2}})
    ),
    "a charset": Request(body({"inputs": tiny.QUESTION}), "application/json; charset=utf-8"),
    "any answer": Request(body({"inputs": tiny.QUESTION}), accept="*/*"),
    "not JSON": Request(b"hello"),
    "not UTF-8": Request(b'{"inputs": "\xff"}'),
    "an empty body": Request(b""),
    "null": Request(b"null"),
    "no inputs": Request(b"{}"),
    "inputs of the wrong type": Request(body({"inputs": 3})),
    "a context of the wrong type": Request(body({"inputs": {"question": "Who", "context": ["x"]}})),
    "an empty context": Request(body({"inputs": {"question": "Who", "context": ""}})),
    "an empty list": Request(body({"inputs": []})),
    "an unknown parameter": Request(body({"inputs": tiny.QUESTION, "parameters": {"k": 1}})),
    "too many items": Request(body({"inputs": [tiny.QUESTION] * 5})),
    "too many bytes": Request(body({"inputs": {"question": "Who", "context": "x " * 6000}})),
    "a picture for a text model": Request(picture("PNG"), "image/png"),
    "an answer in CSV": Request(GOOD, accept="text/csv"),
    "an answer in JSON Lines": Request(GOOD, accept="application/jsonlines"),
    "an answer in npy": Request(ONE, accept="application/x-npy"),
    "an answer in HTML": Request(ONE, accept="text/html"),
    "an answer by weight": Request(ONE, accept="text/csv;q=0.5, application/json"),
    "a long answer in gzip": Request(
        body({"inputs": [tiny.QUESTION] * 4, "parameters": {"top_k": 9}}), accept_encoding="gzip"
    ),
    "JSON Lines": Request(LINES, "application/jsonlines"),
    "a line that is not JSON": Request(LINES + b"\n{", "application/x-ndjson"),
    "CSV": Request(ROWS.encode(), "text/csv"),
    "CSV in Latin-1": Request(ROWS.encode("latin-1"), "text/csv; charset=ISO-8859-1"),
    "CSV of another width": Request(ROWS.encode() + b"Where\r\n", "text/csv"),
    "JSON in UTF-16": Request(ONE.decode().encode("utf-16"), "application/json; charset=utf-16"),
    "an unknown charset": Request(ONE, "application/json; charset=klingon"),
    "a form": Request(
        form(('name="question"', b"When"), ('name="context"', b"it was in 1946")), FORM
    ),
    "gzip": Request(gzip.compress(ONE), content_encoding="gzip"),
    "gzip with a charset": Request(gzip.compress(ONE, mtime=0), JSON_UTF8, content_encoding="gzip"),
    "deflate": Request(zlib.compress(ONE), JSON_UTF8, content_encoding="deflate"),
    "damaged gzip": Request(gzip.compress(ONE)[:-9], JSON_UTF8, content_encoding="gzip"),
    "a small body that grows": Request(
        gzip.compress(b" " * 10_001), JSON_UTF8, content_encoding="gzip"
    ),
    "an unknown encoding": Request(ONE, JSON_UTF8, content_encoding="br"),
    "plain text for two": Request(b"When", "text/plain"),
}
IMAGE = {
    "a JPEG": Request(picture("JPEG"), "image/jpeg"),
    "a PNG": Request(picture("PNG"), "image/png"),
    "a WebP": Request(picture("WEBP"), "application/octet-stream"),
    "a truncated JPEG": Request(picture("JPEG")[:-300], "image/jpeg"),
    "no picture": Request(b"hello", "image/jpeg"),
    "too many pixels": Request(picture("PNG", (101, 100)), "image/png"),
    "a URL": Request(body({"inputs": "https://example.com/cat.jpg"})),
    "an upload": Request(form(('name="file"; filename="a.png"', picture("PNG"))), FORM),
    "two uploads and a parameter": Request(
        form(
            ('name="a"; filename="a.jpg"', picture("JPEG")),
            ('name="b"; filename="b.png"', picture("PNG")),
            ('name="parameters"', b'{"top_k": 1}'),
        ),
        FORM,
    ),
    "an upload that is cut off": Request(
        form(('name="file"; filename="a.png"', picture("PNG")))[:-20], FORM
    ),
}
PIXELS = np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4)
TENSORS = {
    "an array": Request(npy(PIXELS), "application/x-npy"),
    "an array for an array": Request(npy(PIXELS), "application/x-npy", "application/x-npy"),
    "lists": Request(
        body({"inputs": {"pixel_values": PIXELS.tolist()}}), accept="application/x-npy, */*;q=0.1"
    ),
    "an array of another shape": Request(npy(PIXELS[0]), "application/x-npy"),
    "an array that is cut off": Request(npy(PIXELS)[:-1], "application/x-npy"),
    "a pickled array": Request(npy([None]), "application/x-npy"),
}
