"""Requests that are right, from which the wrong ones are made: payloads by task, and bodies by
media type."""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from PIL import Image as Pictures

from onnxferry.scoring.codecs import CSV, DECODERS, IMAGES, JSONLINES, MULTIPART, NPY, TEXT, Image
from onnxferry.scoring.wire import JSON
from tests import tiny

TEXTS = (
    "Good day",
    "not very good, bad!",
    "Dolly Rebecca Parton was born in 1946",
    "naïve café 😀",
    "x " * 60,
)
BOUNDARY = "fuzz"
MODES = {
    "PNG": ("RGB", "RGBA", "L", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("P", "L"),
    "BMP": ("RGB",),
    "TIFF": ("RGB", "CMYK", "I;16"),
}


class Raw(str):
    """JSON text that no Python value gives: NaN, 1e400, a thousand brackets."""


def write(value: Any) -> str:
    """`value` as JSON text, Raw as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(key))}: {write(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, Image):
        return json.dumps(base64.b64encode(value.data).decode())
    return json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)


@functools.cache
def pictures() -> tuple[bytes, ...]:
    """Small pictures of every format and colour mode that clients send, and one that grows when it
    is decoded."""
    found = []
    for kind, modes in MODES.items():
        for mode in modes:
            out = io.BytesIO()
            Pictures.new(mode, (9, 7), 3 if mode in ("P", "1", "L", "I;16", "F") else None).save(
                out, kind
            )
            found.append(out.getvalue())
    out = io.BytesIO()
    Pictures.new("1", (20_000, 20_000)).save(out, "PNG")
    return (*found, out.getvalue())


def picture(random: Random) -> Image:
    return Image(random.choice(pictures()[:-1]))


def _texts(random: Random) -> Any:
    one = random.choice(TEXTS)
    return {
        "inputs": (
            one if random.random() < 0.5 else [one, *random.sample(TEXTS, random.randint(0, 3))]
        )
    }


def _questions(random: Random) -> Any:
    one = {"question": random.choice(("What is it?", "When")), "context": random.choice(TEXTS)}
    shapes = (
        one,
        {"inputs": one},
        {"inputs": [one, tiny.QUESTION]},
        {"inputs": one, "parameters": {"top_k": 3}},
    )
    return random.choice(shapes)


def _pictures(random: Random) -> Any:
    return {
        "inputs": picture(random) if random.random() < 0.5 else [picture(random), picture(random)]
    }


def _entailments(random: Random) -> Any:
    labels: Any = random.choice((["sport", "news"], "sport, news", ["good"]))
    return {
        **_texts(random),
        "parameters": {"candidate_labels": labels, "multi_label": random.random() < 0.3},
    }


def _masks(random: Random) -> Any:
    one = random.choice(("the middle [MASK] is", "[MASK] [MASK] was born in 1946"))
    return {"inputs": one if random.random() < 0.5 else [one, "she sings [MASK]"]}


def _arrays(random: Random) -> Any:
    rows = random.randint(1, 3)
    x = [[random.choice((0, 1, -2.5, 1e3)) for _ in range(4)] for _ in range(rows)]
    return {"inputs": {"x": x, "k": [[random.randint(-3, 3)] for _ in range(rows)]}}


def _strings(random: Random) -> Any:
    return {"inputs": {"x": random.sample(TEXTS, random.randint(1, 3))}}


def _documents(random: Random) -> Any:
    return {
        "inputs": {
            "query": random.choice(TEXTS),
            "documents": random.sample(TEXTS, random.randint(1, 4)),
        }
    }


def _rankings(random: Random) -> Any:
    query, texts = random.choice(TEXTS), random.sample(TEXTS, random.randint(1, 4))
    shapes = (
        _documents(random),
        {"inputs": [_documents(random)["inputs"]]},
        {"query": query, "texts": texts, "raw_scores": random.random() < 0.5, "truncate": True},
        {"query": query, "documents": texts, "top_n": 2, "return_documents": True},
    )
    return random.choice(shapes)


def _similar(random: Random) -> Any:
    one = {"source_sentence": random.choice(TEXTS), "sentences": random.sample(TEXTS, 3)}
    return {"inputs": one if random.random() < 0.7 else [one]}


PAYLOADS: dict[str, Callable[[Random], Any]] = {
    "question-answering": _questions,
    "image-classification": _pictures,
    "image-feature-extraction": _pictures,
    "object-detection": _pictures,
    "sentence-similarity": _similar,
    "text-ranking": _rankings,
    "zero-shot-classification": _entailments,
    "fill-mask": _masks,
    "tensors": _arrays,
    "tensors, strings": _strings,
    "a task of the user's own": _documents,
}


def payload(model: str, random: Random) -> Any:
    return PAYLOADS.get(model, _texts)(random)


def _items(data: Any) -> list[Any]:
    value = data.get("inputs", data) if isinstance(data, Mapping) else data
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else write(value)


def _jsonlines(data: Any, random: Random) -> bytes:
    return "\n".join(map(write, _items(data))).encode()


def _csv(data: Any, random: Random) -> bytes:
    items, out = _items(data), io.StringIO()
    rows = [item if isinstance(item, Mapping) else {"inputs": item} for item in items]
    writer = csv.writer(out)
    writer.writerows(
        [list(rows[0]) if rows else [], *([_text(cell) for cell in row.values()] for row in rows)]
    )
    return out.getvalue().encode("utf-8", "surrogatepass")


def _multipart(data: Any, random: Random) -> bytes:
    fields = data if isinstance(data, Mapping) else {"inputs": data}
    parts = []
    for name, value in fields.items():
        for item in value if isinstance(value, list) and name != "parameters" else [value]:
            file = isinstance(item, Image)
            head = f'Content-Disposition: form-data; name="{name}"' + (
                '; filename="a.png"' if file else ""
            )
            body = (
                item.data
                if isinstance(item, Image)
                else _text(item).encode("utf-8", "surrogatepass")
            )
            parts.append(
                f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode("utf-8", "surrogatepass") + body + b"\r\n"
            )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _npy(data: Any, random: Random) -> bytes:
    dtype = random.choice(
        ("<f4", ">f4", "<f8", "<f2", "<i8", "<i4", "|u1", "|b1", "<c8", "<U3", "O", "<M8[s]")
    )
    shape: Sequence[int] = random.choice(((), (0,), (3,), (1, 3), (2, 3), (2, 0, 3), (1, 3, 4, 4)))
    array = np.ones(shape, "<i8").astype(dtype)
    out = io.BytesIO()
    np.save(out, np.asfortranarray(array) if random.random() < 0.3 else array, allow_pickle=True)
    return out.getvalue()


def _picture(data: Any, random: Random) -> bytes:
    return pictures()[-1] if random.random() < 0.01 else picture(random).data


FORMS: dict[str, Callable[[Any, Random], bytes]] = {
    JSON: lambda data, random: write(data).encode(),
    **dict.fromkeys(JSONLINES, _jsonlines),
    CSV: _csv,
    TEXT: (
        lambda data, random: _text(_items(data)[0] if _items(data) else "").encode(
            "utf-8", "surrogatepass"
        )
    ),
    MULTIPART: _multipart,
    NPY: _npy,
    **dict.fromkeys(IMAGES, _picture),
}


def body(media_type: str, data: Any, random: Random) -> bytes:
    """A body of a media type; one that has no form here yet is sent JSON."""
    return FORMS.get(media_type, FORMS[JSON])(data, random)


def media_type(random: Random) -> str:
    """JSON half of the time, else any that scoring has a decoder for."""
    return JSON if random.random() < 0.5 else random.choice(sorted(DECODERS))


def content_type(name: str) -> str:
    return f"{name}; boundary={BOUNDARY}" if name == MULTIPART else name
